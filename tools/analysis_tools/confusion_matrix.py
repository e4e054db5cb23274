"""What a model takes for what: confusion matrix and a table of all classes.

    python tools/analysis_tools/confusion_matrix.py xdecoder_focal-nano_scenes-joint --num-images 200
    python tools/analysis_tools/confusion_matrix.py CONFIG CHECKPOINT --benchmark ade20k-150@data/ade --level segments

Writes classes.md, classes.csv, <level>.csv and <level>.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xdet.analysis.confusion import LEVELS, Confusion, draw_matrix, matrix_table
from xdet.analysis.subject import Subject, add_choice_arguments, add_model_arguments
from xdet.analysis.tables import markdown, write_table
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.io.terminal import tell


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split('\n')[0])
    add_model_arguments(parser)
    add_choice_arguments(parser)
    parser.add_argument(
        '--level',
        choices=LEVELS,
        default=LEVELS[0],
        help='count pixels, or segments of panoptic segmentation that overlap by more than half (pixels)',
    )
    parser.add_argument('--max-classes', type=int, default=40, metavar='N', help='most classes in the picture (40)')
    parser.add_argument('--out-dir', type=output_folder, default='outputs/confusion', help='(outputs/confusion)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(f'config {args.config}'):
        subject = Subject.of(args)
    with one_line_errors('comparing', ValueError, OSError, KeyError):
        confusion = Confusion(subject.vocabulary)
        for _, sample in subject.predictions():
            confusion.add(sample)
        matrix, names = confusion.matrix(args.level), confusion.vocabulary.names
        header, rows = confusion.class_table()
        write_table(args.out_dir / 'classes', header, rows)
        write_table(args.out_dir / args.level, *matrix_table(matrix, names))
        (args.out_dir / args.level).with_suffix('.md').unlink()  # too wide to be read
        title = f'{Path(args.config).stem}: {args.level} of {len(subject.images)} images'
        draw_matrix(matrix, names, args.out_dir / f'{args.level}.png', title, args.max_classes)
    tell(*markdown(header, rows).split('\n'))
    tell('', f'wrote classes.md, classes.csv, {args.level}.csv and {args.level}.png into {args.out_dir}')


if __name__ == '__main__':
    sys.exit(run_program(main))
