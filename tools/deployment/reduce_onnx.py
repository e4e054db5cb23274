"""Store an exported model in fewer bytes, and tell what that costs on the images of a proof.

python tools/deployment/reduce_onnx.py exported exported_fp16 fp16
python tools/deployment/reduce_onnx.py exported exported_int8 int8 --images photos
"""

from __future__ import annotations

import argparse
import sys

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.export.certificate import default_images
from xdet.export.reduction import KINDS, reduce_model
from xdet.inference.inputs.images import expand_images
from xdet.io.terminal import tell


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('source', help='folder of the exported model')
    parser.add_argument('target', type=output_folder, help='new folder')
    parser.add_argument('kind', choices=KINDS)
    parser.add_argument('--images', help='folder or pattern of images to find ranges on (default: generated scenes)')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    with one_line_errors('reducing', ImportError, OSError, TypeError, ValueError):
        images, _ = expand_images(args.images or list(default_images(64)))
        folder = reduce_model(args.source, args.target, args.kind, images)
    tell(f'wrote {folder}')


if __name__ == '__main__':
    sys.exit(run_program(main))
