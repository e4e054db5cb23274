"""Export a model as ONNX graphs whose inputs are the words, and prove that they compute the same.

    python tools/deployment/export_onnx.py --out-dir exported
    python tools/deployment/export_onnx.py xdecoder_focal-t xdecoder_focalt_last.pt --out-dir exported --images photos

Without a model it is the small one that comes with the package. docs/export.md describes what is written.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from xdet.apis import XDecoderInferencer
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.export.certificate import LEAST_AGREEMENT, MOST_DIFFERENCE, certify
from xdet.export.exporting import OPSETS, export
from xdet.inference.inputs.images import expand_images
from xdet.io.terminal import tell


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='?', help='name of a shipped model, or a config file')
    parser.add_argument('weights', nargs='?', help='checkpoint file or URL')
    parser.add_argument('--out-dir', type=output_folder, required=True, help='new folder')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='names of the tasks that it is for (default: all)')
    parser.add_argument('--opset', type=int, default=20, help=f'{OPSETS[0]} to {OPSETS[-1]} (default: 20)')
    parser.add_argument('--images', help='folder or pattern of 20 images or more for the proof (default: scenes)')
    parser.add_argument('--bound', type=float, default=MOST_DIFFERENCE, help='accepted relative difference')
    parser.add_argument('--agreement', type=float, default=LEAST_AGREEMENT, help='accepted agreement of segments in %%')
    parser.add_argument('--random-weights', action='store_true', help='export an untrained model')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    with one_line_errors('export', ImportError, OSError, TypeError, ValueError):
        inferencer = XDecoderInferencer(args.model, args.weights, 'cpu', random_weights=args.random_weights)
        images = [source.image for source in expand_images(args.images)[0]] if args.images else None
        prove = partial(certify, inferencer, images=images, difference=args.bound, agreement=args.agreement)
        folder = export(inferencer, args.out_dir, prove, args.opset, partial(tell, flush=True), args.tasks)
    tell(f'wrote {folder}')


if __name__ == '__main__':
    sys.exit(run_program(main))
