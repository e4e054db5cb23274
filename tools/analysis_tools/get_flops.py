"""Parameters and floating point operations of every stage of a model.

    python tools/analysis_tools/get_flops.py xdecoder_focal-t
    python tools/analysis_tools/get_flops.py xdecoder_focal-t --shape 1024 1024 --tasks panoptic refseg

The weights do not matter and are not loaded.
"""

from __future__ import annotations

import argparse
import sys

from xdet.analysis.flops import PARTS, count_parameters, count_stages, input_shape
from xdet.analysis.subject import add_config_arguments, read_config
from xdet.analysis.tables import markdown, write_table
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.datasets.vocab import make_vocabulary
from xdet.io.terminal import tell
from xdet.model_zoo import resolve_device
from xdet.registry import MODELS

PICTURE = (480, 640)


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split('\n')[0])
    add_config_arguments(parser)
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help=f'network input, multiples of 32 (default: what the config makes of {PICTURE[1]}x{PICTURE[0]} pixels)',
    )
    parser.add_argument('--vocabulary', default='coco_panoptic', help='known class list or file (coco_panoptic)')
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='tasks to count (default: all of the model)')
    parser.add_argument('--max-tokens', type=int, default=12, metavar='N', help='longest caption (12)')
    parser.add_argument('--device', default='cpu', help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument('--out', type=output_file, metavar='PATH', help='also write PATH.md and PATH.csv')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(f'config {args.config}'):
        cfg = read_config(args)
        model = MODELS.build(cfg.model).to(resolve_device(args.device)).eval()
    with one_line_errors('counting', ValueError, OSError):
        shape = tuple(args.shape) if args.shape else input_shape(cfg, PICTURE)
        vocabulary = make_vocabulary(args.vocabulary)
        stages = count_stages(model, shape, vocabulary, args.tasks or model.task_names, args.max_tokens)
    header = ('stage', 'parameters (M)', 'GFLOPs', 'GMACs')
    rows = [
        (stage.name, *(None if value is None else value / unit for value, unit in zip(
            (stage.parameters, stage.flops, stage.flops), (1e6, 1e9, 2e9), strict=True)))
        for stage in stages
    ]  # fmt: skip
    rest = count_parameters(model) - sum(count_parameters(getattr(model, name)) for name in PARTS)
    assert rest == 0, 'a part of the model is missing in the table'
    rows.append(('all parameters', count_parameters(model) / 1e6, None, None))
    tell('', f'{args.config}, input {shape[0]}x{shape[1]} (height x width), one image', '')
    tell(*markdown(header, rows, digits=2).split('\n'))
    tell('', 'A GMAC is a multiplication with its addition; GFLOPs count both. Texts are encoded once and remembered.')
    if args.out:
        write_table(args.out, header, rows, digits=2)


if __name__ == '__main__':
    sys.exit(run_program(main))
