"""Convert a checkpoint of xdet into the names of the official X-Decoder code.

Entries that the official model computes by itself (attention mask table, class weights) are not written; its loader
keeps what the model built for them.

    python tools/model_converters/xdet_to_official.py work_dirs/run/epoch_50.pth xdecoder_mine.pt
"""

from __future__ import annotations

import argparse
import sys

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.compat.checkpoint import CheckpointError, read_state_dict, write_state_dict
from xdet.compat.official_weights import is_official, xdet_to_official
from xdet.io.terminal import tell


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('source', help='checkpoint of xdet (.pth, .safetensors) or its URL')
    parser.add_argument('target', type=output_file, help='file to write; the official code reads .pt')
    parser.add_argument('--dtype', choices=('float32', 'float16', 'bfloat16'), help='store weights in this type')
    return parser.parse_args()


def main() -> None:
    """Read, rename, write."""
    args = parse_args()
    with one_line_errors(args.source, ValueError):
        state_dict = read_state_dict(args.source)
        if is_official(state_dict):
            raise CheckpointError('already has the official names')
        converted = xdet_to_official(state_dict)
        write_state_dict(converted, args.target, args.dtype)
    tell(f'wrote {len(converted)} entries to {args.target}')


if __name__ == '__main__':
    sys.exit(run_program(main))
