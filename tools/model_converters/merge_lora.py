"""Merge LoRA adapters into the weights they adapt, for a model without adapters.

python tools/model_converters/merge_lora.py CONFIG work_dirs/run/iter_3000.pth merged.safetensors
"""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatchcase

from xdet.analysis.subject import import_components
from xdet.cli.errors import one_line_errors
from xdet.cli.launch import add_cfg_options
from xdet.cli.overrides import apply_overrides
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.compat.checkpoint import write_state_dict
from xdet.compat.fitting import load_weights
from xdet.engine.optim.lora import ENTRIES, add_lora, check_options, merge_lora
from xdet.io.terminal import tell
from xdet.model_zoo import find_config, load_config
from xdet.registry import MODELS
from xdet.structures.known_words import KEY as KNOWN_WORDS


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of the training, with its `lora`')
    parser.add_argument('source', help='checkpoint of the training')
    parser.add_argument('target', type=output_file, help='file to write: .safetensors or .pth')
    parser.add_argument(
        '--dtype', choices=('float32', 'float16', 'bfloat16'), default='float32', help='store weights in this type'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Build, load, merge, write."""
    args = parse_args()
    with one_line_errors(f'config {args.config}', OSError, ValueError, ImportError):
        cfg = load_config(find_config(args.config))
        apply_overrides(cfg, args.cfg_options)
        if not cfg.get('lora'):
            raise ValueError('it has no `lora`; name the config of the training')
        import_components()
        model = MODELS.build(cfg.model)
        add_lora(model, **check_options(cfg.lora))
    with one_line_errors(f'merging {args.source}', ValueError):
        known_words = load_weights(model, args.source).get(KNOWN_WORDS)
        merged = merge_lora(model)
        weights = model.state_dict()
        assert not any(fnmatchcase(name, ENTRIES) for name in weights)
        write_state_dict(weights, args.target, args.dtype, known_words)
    tell(f'merged {merged} layers, wrote {len(weights)} entries to {args.target}')


if __name__ == '__main__':
    sys.exit(run_program(main))
