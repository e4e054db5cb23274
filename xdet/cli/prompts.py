"""Says which of your names a model can hardly tell apart, before any image is looked at."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .errors import exit_code


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(prog, description=__doc__)
    parser.add_argument('names', nargs='+', metavar='NAME', help='class names, or one text "dog . cat"')
    parser.add_argument('--nearest', type=int, default=3, metavar='N', help='nearest names per name (3)')
    parser.add_argument('--json', action='store_true', help='for programs')
    parser.add_argument('--model', help='name of a shipped config or path of a config file')
    parser.add_argument('--weights', help='checkpoint file or URL, official or ours')
    parser.add_argument('--device', default='auto', help='auto (default), cpu, cuda, cuda:N or mps')
    parser.add_argument('--random-weights', action='store_true', help='untrained model (to try the installation)')
    parser.add_argument('--debug', action='store_true', help='show the traceback of errors')
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the report; returns the exit code."""
    import dataclasses
    import json

    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.apis import XDecoderInferencer
        from xdet.inference.prompt_report import lines, report_names
        from xdet.structures import split_prompts

    names = split_prompts(args.names[0] if len(args.names) == 1 else args.names)
    inferencer = XDecoderInferencer(args.model, args.weights, args.device, args.random_weights)
    if inferencer.embedded is not None:
        print(f'note: {inferencer.embedded.knows}', file=sys.stderr)
    reports = report_names(inferencer, names, args.nearest)
    if args.json:
        print(json.dumps([dataclasses.asdict(report) for report in reports], ensure_ascii=False, indent=1))
    else:
        print('\n'.join(lines(reports)))
    return 0


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2."""
    args = parser(prog).parse_args(argv)
    return exit_code(lambda: run(args), args.debug)
