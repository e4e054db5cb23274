"""Convert an official X-Decoder checkpoint into one with the names of xdet.

Loading converts by itself; a converted file is for reading the weights elsewhere or for storing them in half precision.

    python tools/model_converters/official_to_xdet.py xdecoder_focalt_last.pt xdecoder_focal-t.safetensors
"""

from __future__ import annotations

import argparse
import sys

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.compat.checkpoint import CheckpointError, read_state_dict, write_state_dict
from xdet.compat.official_weights import is_official, official_to_xdet
from xdet.io.terminal import tell


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('source', help='official checkpoint (.pt) or its URL')
    parser.add_argument('target', type=output_file, help='file to write: .safetensors, or anything else for torch.save')
    parser.add_argument('--dtype', choices=('float32', 'float16', 'bfloat16'), help='store weights in this type')
    parser.add_argument('--keep-unknown', action='store_true', help='keep entries that X-Decoder does not have')
    return parser.parse_args()


def main() -> None:
    """Read, rename, write."""
    args = parse_args()
    with one_line_errors(args.source, ValueError):
        state_dict = read_state_dict(args.source)
        if not is_official(state_dict):
            raise CheckpointError(
                f"'{args.source}' is not an official X-Decoder checkpoint (no 'sem_seg_head.' entries)"
            )
        converted = official_to_xdet(state_dict, strict=not args.keep_unknown)
        write_state_dict(converted, args.target, args.dtype)
    tell(f'wrote {len(converted)} entries to {args.target}')


if __name__ == '__main__':
    sys.exit(run_program(main))
