"""Measure one model on several benchmarks: one table, and results that an interrupted run keeps.

xdet suite --list
xdet suite xdecoder_focal-t official.pt --data /data --skip-missing
xdet suite CONFIG CHECKPOINT --benchmarks ade20k-150 'seginw-*' --data-root ade20k-150=/data/ade
xdet suite CONFIG CHECKPOINT --benchmarks folder-semantic@my/photos coco-instances:test@my/fruits
SCRIPT=zeroshot_suite bash tools/dist_test.sh CONFIG CHECKPOINT 8 --protocol official
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import all_gather_object

from xdet.benchmarks.fragments import PROTOCOLS, expand_benchmarks, list_benchmarks, load_benchmark
from xdet.benchmarks.records import Record, RecordStore
from xdet.benchmarks.suite import Entry, Weights, check_data, finished, plan_suite, run_suite
from xdet.benchmarks.table import write_tables
from xdet.cli.errors import one_line_errors
from xdet.cli.launch import add_launch_arguments, read_run_config, start_runner
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.compat.checkpoint import weights_sha256
from xdet.engine.parallel.dist import shut_down
from xdet.io.terminal import tell

_SUMMARY = 'Measure one model on several benchmarks: one table, and results that an interrupted run keeps.'


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(prog, description=_SUMMARY)
    parser.add_argument('config', nargs='?', help='path of a config, or the name of a shipped one')
    parser.add_argument('checkpoint', nargs='?', help='weights: an official file, ours, or a URL')
    parser.add_argument(
        '--benchmarks',
        nargs='+',
        metavar='NAME[:SPLIT][@DIR]',
        help='names, shell patterns or fragment files (default: all public data sets); @DIR for data of your own',
    )
    parser.add_argument('--protocol', choices=PROTOCOLS, default='recommended', help='how to test')
    parser.add_argument('--data', metavar='DIR', help='folder in place of data/ (default: data)')
    parser.add_argument(
        '--data-root', nargs='+', default=[], metavar='NAME=DIR', help='folder of the data of one benchmark'
    )
    parser.add_argument(
        '--out', type=output_folder, metavar='DIR', help='where results go (default: suite/ in the work dir)'
    )
    parser.add_argument(
        '--skip-missing', action='store_true', help='leave out what has no data or no task in the model'
    )
    parser.add_argument('--force', action='store_true', help='run finished benchmarks again')
    parser.add_argument('--num-workers', type=int, metavar='N', help='processes that read data (default: as each says)')
    parser.add_argument('--check', action='store_true', help='only say what can run and what is missing')
    parser.add_argument('--list', action='store_true', help='print the names of the benchmarks')
    add_launch_arguments(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    own = parser(prog)
    args = own.parse_args(argv)
    for name in sorted(set(args.given) - {'list'}) if args.list else ():
        own.error(f'{args.given[name]} is not read with --list')
    for name in ('skip_missing', 'num_workers'):
        if args.check and name in args.given:
            own.error(f'{args.given[name]} is for a run, and --check runs nothing')
    if not args.list and args.checkpoint is None:
        own.error('give a config and a checkpoint')
    wrong = [pair for pair in args.data_root if '=' not in pair.strip('=')]
    if wrong:
        own.error(f"--data-root '{wrong[0]}' must be NAME=DIR")
    return args


def plan(cfg: Config, args: argparse.Namespace) -> list[Entry]:
    """The benchmarks that are asked for."""
    names = expand_benchmarks(args.benchmarks) if args.benchmarks else _public_benchmarks()
    roots = [tuple(pair.split('=', 1)) for pair in args.data_root]
    entries = plan_suite(cfg, names, args.protocol, roots, args.data)
    for entry in entries:
        if entry.cfg is not None and args.num_workers is not None:
            entry.cfg.test_dataloader.update(num_workers=args.num_workers, persistent_workers=False)
    return entries


def check(entries: list[Entry], args: argparse.Namespace) -> None:
    """Say what is missing before anything is computed.

    Raises:
        ValueError: Data or tasks are missing and may not be.
    """
    problems = check_data(entries)
    for line in problems:
        tell(f'missing: {line}')
    if args.check:
        for entry in entries:
            if not entry.problem:
                tell(f'ready: {entry.name}, {entry.num_samples} samples')
    elif problems and not args.skip_missing:
        raise ValueError(f'{len(problems)} of them cannot run (see above); --skip-missing runs the others')


def agree(entries: list[Entry], records: list[Record]) -> tuple[list[Entry], list[Record]]:
    """What all processes run: what the first finds finished is finished, and what cannot run somewhere is not run.

    Machines need not see the same folders, and processes that disagree would wait for each other for ever.
    """
    told = all_gather_object((records, {entry.name: entry.problem for entry in entries if entry.problem}))
    records = told[0][0]
    for entry in entries:
        entry.problem = next((problems[entry.name] for _, problems in told if entry.name in problems), entry.problem)
    done = {record.benchmark for record in records}
    return [entry for entry in entries if entry.name not in done], records


def _public_benchmarks() -> list[str]:
    return [name for name in list_benchmarks() if not load_benchmark(name).facts.get('own_data')]


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Entry point; mistakes end the program with one line and exit code 1."""
    with one_line_errors('command line', ValueError):
        args = parse_args(argv, prog)
    if args.list:
        tell(*list_benchmarks())
        return
    with one_line_errors(f'config {args.config}', OSError, ValueError):
        cfg = read_run_config(args)
    with one_line_errors('benchmarks', OSError, ValueError):
        entries = plan(cfg, args)
        store = RecordStore(args.out or Path(cfg.work_dir) / 'suite')
        weights = Weights(Path(args.checkpoint).name, weights_sha256(args.checkpoint), Path(args.config).stem)
        records = [] if args.force else finished(entries, weights, store)
        for record in records:
            tell(f'finished before: {record.benchmark}')
        names = {record.benchmark for record in records}
        check([entry for entry in entries if entry.name not in names], args)
    if args.check:
        return
    runnable = [entry for entry in entries if not entry.problem and entry.cfg is not None]
    pending = [entry for entry in runnable if entry.name not in names]
    with one_line_errors('testing', OSError, ValueError):
        if pending or (runnable and args.launcher != 'none'):  # another process may have something left
            first = copy.deepcopy((pending or runnable)[0].cfg)
            assert first is not None  # it is runnable
            first.load_from, first.work_dir, first.resume = args.checkpoint, cfg.work_dir, False
            runner = start_runner(first, args)
            entries, records = agree(entries, records)
            records = run_suite(runner, entries, weights, store, records)
        else:
            write_tables(store, records, entries)
    tell(f'results: {store.folder / "results.md"}')
    shut_down()
