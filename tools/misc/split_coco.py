"""Split a COCO JSON into a part to train on and a part to validate on.

    python tools/misc/split_coco.py data/balloons/instances.json
    python tools/misc/split_coco.py data/frames/instances.json --val 200 --group-by folder
    python tools/misc/split_coco.py data/plants/instances.json --group-by '(.+)_view\\d+'

writes train.json and val.json beside the file. Instances, captions and referring expressions all work: images are
divided, and every annotation follows its image. The image files stay where they are. The same file and options always
give the same split.

--group-by keeps images together that are nearly the same, such as the frames of a video. Otherwise validation would
measure how well the model remembers them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.datasets.exchange.splitting import split_coco_file
from xdet.io.terminal import tell


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(
        description=__doc__.splitlines()[0], epilog=__doc__.split('\n', 2)[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument('ann_file', type=Path, help='COCO JSON with images and annotations')
    parser.add_argument(
        '--val', type=float, default=0.2, metavar='SHARE', help='share of the images (0.2), or their number (50)'
    )
    parser.add_argument(
        '--group-by',
        '--group',
        dest='group',
        metavar='folder|field=NAME|REGEX',
        help='images stay together that have the same folder, the same field of their entry (field=video_id), or the '
        'same match at the beginning of their file name; with parentheses, the same first group of it',
    )
    parser.add_argument('--seed', type=int, default=0, help='another seed gives another split')
    parser.add_argument('--train-out', type=output_file, metavar='FILE', help='default: train.json beside the file')
    parser.add_argument('--val-out', type=output_file, metavar='FILE', help='default: val.json beside the file')
    parser.add_argument('--overwrite', action='store_true', help='replace files that are there already')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors('splitting', OSError, ValueError):
        out = dict(
            train=args.train_out or args.ann_file.with_name('train.json'),
            val=args.val_out or args.ann_file.with_name('val.json'),
        )
        lines = list(
            split_coco_file(args.ann_file, out, args.val, group=args.group, seed=args.seed, overwrite=args.overwrite)
        )
    tell(*lines)


if __name__ == '__main__':
    sys.exit(run_program(main))
