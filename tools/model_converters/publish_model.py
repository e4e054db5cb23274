"""Reduce a training checkpoint to its weights in half precision, as those of the embedded models were.

python tools/model_converters/publish_model.py work_dirs/run/iter_4000.pth published.safetensors
"""

from __future__ import annotations

import argparse
import sys

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.compat.checkpoint import known_words_of, read_checkpoint, state_dict_of, write_state_dict
from xdet.compat.fitting import to_xdet
from xdet.io.terminal import tell


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('source', help='checkpoint of a training, or an official file, or the URL of one')
    parser.add_argument('target', type=output_file, help='file to write: .safetensors or .pth')
    parser.add_argument(
        '--dtype', choices=('float32', 'float16', 'bfloat16'), default='float16', help='store weights in this type'
    )
    return parser.parse_args()


def main() -> None:
    """Read, strip, write."""
    args = parse_args()
    with one_line_errors(args.source, ValueError):
        checkpoint = read_checkpoint(args.source)
        weights = to_xdet(state_dict_of(checkpoint, args.source))
        write_state_dict(weights, args.target, args.dtype, known_words_of(checkpoint, args.source))
    tell(f'wrote {len(weights)} entries to {args.target}')


if __name__ == '__main__':
    sys.exit(run_program(main))
