"""Print a config as training and testing see it: with its bases, references and changes merged.

python tools/misc/print_config.py xdecoder_focal-nano_camvid
python tools/misc/print_config.py my_config.py --cfg-options max_iters=20 --key train_cfg
python tools/misc/print_config.py xdecoder_focal-t --benchmark ade20k-150 --protocol official
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from mmengine.config import Config

from xdet.benchmarks.fragments import PROTOCOLS, apply_benchmark
from xdet.cli.errors import one_line_errors
from xdet.cli.launch import add_cfg_options, read_run_config
from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.io.terminal import tell


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='path of a config, or the name of a shipped one such as xdecoder_focal-t')
    add_cfg_options(parser)
    parser.add_argument('--key', metavar='KEY', help='print only this part, such as model.decoder or val_evaluator.0')
    parser.add_argument('--benchmark', metavar='NAME[:SPLIT][@DIR]', help='as it is tested on this benchmark')
    parser.add_argument('--protocol', choices=PROTOCOLS, default=PROTOCOLS[0], help='of the benchmark')
    parser.set_defaults(work_dir=None, allow_missing=[], allow_unexpected=[])
    return parser.parse_args()


def part_of(cfg: Config, key: str) -> Any:
    """A part of a config by its dotted key.

    Raises:
        ValueError: There is no such part; the message names those that there are.
    """
    node: Any = cfg.to_dict()
    for name in key.split('.'):
        if isinstance(node, (list, tuple)):
            found = dict(zip(map(str, range(len(node))), node, strict=True))
        else:
            found = dict(node) if isinstance(node, dict) else {}
        if name not in found:
            raise ValueError(
                f"--key {key}: there is no '{name}'; accepted are {', '.join(found) or 'no further names'}"
            )
        node = found[name]
    return node


def main() -> None:
    args = parse_args()
    with one_line_errors(f'config {args.config}', OSError, ValueError):
        cfg = read_run_config(args)
        if args.benchmark:
            cfg = apply_benchmark(cfg, args.benchmark, args.protocol)
        if args.key:
            cfg = Config({args.key.rsplit('.', 1)[-1]: part_of(cfg, args.key)})
        tell(*cfg.pretty_text.splitlines())


if __name__ == '__main__':
    sys.exit(run_program(main))
