"""Says which of your names a model can hardly tell apart, before any image is looked at."""

from __future__ import annotations

import argparse

from xdet.cli.chosen_model import add_model_options, open_model
from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser
from xdet.io.terminal import tell


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__)
    parser.add_argument('names', nargs='+', metavar='NAME', help='class names, or one text "dog . cat"')
    parser.add_argument('--nearest', type=int, default=3, metavar='N', help='nearest names per name (3)')
    parser.add_argument('--json', action='store_true', help='for programs')
    add_model_options(parser)
    add_debug(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the report; returns the exit code."""
    import dataclasses
    import json

    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.inference.names.prompt_report import lines, report_names
        from xdet.structures import split_prompts

    names = split_prompts(args.names[0] if len(args.names) == 1 else args.names)
    inferencer = open_model(args)
    reports = report_names(inferencer, names, args.nearest)
    if args.json:
        tell(*json.dumps([dataclasses.asdict(report) for report in reports], ensure_ascii=False, indent=1).split('\n'))
    else:
        tell(*lines(reports))
    return 0


main = program(parser, run)
