"""Curves and times of trainings, from the logs in their work dirs.

    python tools/analysis_tools/analyze_logs.py plot work_dirs/mine work_dirs/other --keys loss "semantic/*"
    python tools/analysis_tools/analyze_logs.py time work_dirs/mine

A log is a work dir or a scalars.json of MMEngine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xdet.analysis.logs import choose_keys, draw_curves, read_log, time_statistics
from xdet.analysis.tables import markdown
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.io.terminal import tell

COLUMNS = dict(
    mean='s/iteration',
    median='median',
    p95='95 %',
    slowest='slowest',
    slowest_step='at step',
    waiting='waiting for data',
    waiting_share='share (%)',
    hours='hours in all',
)


def parse_args() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(description=__doc__.split('\n')[0], formatter_class=raw)
    commands = parser.add_subparsers(dest='command', required=True)
    plot = commands.add_parser('plot', help='draw curves')
    plot.add_argument('logs', nargs='+', type=Path, metavar='LOG', help='work dirs or scalars.json')
    plot.add_argument(
        '--keys', nargs='+', default=['loss'], metavar='PATTERN', help='what to draw, such as "loss*" (loss)'
    )
    plot.add_argument('--out', type=output_file, default='outputs/curves.png', help='.png or .pdf (outputs/curves.png)')
    plot.add_argument('--smooth', type=int, default=1, metavar='N', help='average N logged values (1)')
    plot.add_argument('--log-scale', action='store_true', help='logarithmic values')
    time = commands.add_parser('time', help='times of iterations and the share of waiting for data')
    time.add_argument('logs', nargs='+', type=Path, metavar='LOG', help='work dirs or scalars.json')
    time.add_argument('--skip', type=int, default=1, metavar='N', help='entries of the start-up to leave out (1)')
    parser.epilog = f'{plot.format_help()}\n{time.format_help()}'
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors('reading logs', ValueError, OSError):
        logs = [read_log(path) for path in args.logs]
        if args.command == 'plot':
            keys = choose_keys(logs, args.keys)
            draw_curves(logs, keys, args.out, args.smooth, args.log_scale)
            tell(f'wrote {args.out}: {", ".join(keys)}')
            return
        rows = []
        for log in logs:
            found = time_statistics(log, args.skip)
            rows.append([log.name, *(int(found[key]) if key == 'slowest_step' else found[key] for key in COLUMNS)])
    tell(*markdown(['training', *COLUMNS.values()], rows, digits=3).split('\n'))


if __name__ == '__main__':
    sys.exit(run_program(main))
