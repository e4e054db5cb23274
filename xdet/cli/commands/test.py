"""Measure a model on the test set of its config, or on benchmarks (docs/evaluation.md).

xdet test CONFIG CHECKPOINT
xdet test xdecoder_focal-t_8xb4-50e_coco-panoptic --weights official.pt --show-dir pictures --format coco
xdet test xdecoder_focal-t official.pt --benchmark ade20k-150 coco-2017 --protocol official
bash tools/dist_test.sh CONFIG CHECKPOINT 8
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from xdet.benchmarks.fragments import PROTOCOLS, apply_benchmark, expand_benchmarks, load_benchmark
from xdet.cli.errors import one_line_errors
from xdet.cli.launch import add_launch_arguments, read_run_config, start_runner
from xdet.cli.parsing import Parser
from xdet.engine.parallel.dist import lost_process_named, shut_down
from xdet.io.terminal import tell
from xdet.io.writing import check_place

_SUMMARY = 'Measure a model on the test set of its config, or on benchmarks (docs/evaluation.md).'
FORMATS = ('coco',)
_COCO_DATASETS = ('CocoInstanceSegDataset', 'CocoPanopticSegDataset')


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(prog, description=_SUMMARY)
    parser.add_argument('config', help='path of a config, or the name of a shipped one such as xdecoder_focal-t')
    parser.add_argument('checkpoint', nargs='?', help='weights: an official file, ours, or a URL')
    parser.add_argument('--weights', help='another way to give the checkpoint')
    parser.add_argument(
        '--out', metavar='FILE.pkl', help='write all predictions into this pickle file; with --format, into this folder'
    )
    parser.add_argument(
        '--format',
        choices=FORMATS,
        help="also write the predictions as COCO's results: segm.json, bbox.json, keypoints.json, "
        'panoptic.json with its PNGs (default folder: WORK_DIR/coco_results)',
    )
    parser.add_argument('--show-dir', metavar='DIR', help='draw the predictions into WORK_DIR/TIMESTAMP/DIR')
    parser.add_argument(
        '--benchmark',
        nargs='+',
        metavar='NAME[:SPLIT][@DIR]',
        help="test on these in place of the config's own test set; xdet suite also keeps results",
    )
    parser.add_argument('--protocol', choices=PROTOCOLS, help='how to test on benchmarks (default: recommended)')
    add_launch_arguments(parser)
    return parser


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> argparse.Namespace:
    own = parser(prog)
    args = own.parse_args(argv)
    if (args.checkpoint is None) == (args.weights is None):
        own.error('give the weights once, as the second argument or as --weights')
    args.checkpoint = args.checkpoint or args.weights
    if args.protocol and not args.benchmark:
        own.error('--protocol says how to test on benchmarks; name them by --benchmark')
    args.protocol = args.protocol or 'recommended'
    return args


def apply_test_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write the test arguments into the config.

    Raises:
        ValueError: The config has no test set, or its results cannot be written as asked for.
    """
    missing = [key for key in ('test_dataloader', 'test_cfg', 'test_evaluator') if not cfg.get(key)]
    if missing:
        raise ValueError(f'it has no {", ".join(missing)}, so there is nothing to test on')
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.format:
        out_dir = args.out or str(Path(cfg.work_dir) / 'coco_results')
        _check_place('--out', out_dir, folder=True)
        add_metric(cfg, dict(type='CocoResults', ann_file=coco_file(cfg), out_dir=out_dir))
    elif args.out:
        if not args.out.endswith(('.pkl', '.pickle')):
            raise ValueError(f"--out '{args.out}' must end in .pkl or .pickle; a folder needs --format")
        _check_place('--out', args.out)
        add_metric(cfg, dict(type='DumpPredictions', out_file_path=args.out))
    if args.show_dir:
        _check_place('--show-dir', Path(cfg.work_dir, args.show_dir), folder=True)
        cfg.default_hooks.visualization = dict(type='DrawPredictionsHook', out_dir=args.show_dir)


def _check_place(option: str, place: str | Path, folder: bool = False) -> None:
    """As :mod:`xdet.cli.places` does, for places that other options and the config have a say in."""
    with one_line_errors(f'argument {option}', OSError):
        check_place(place, folder)


def add_metric(cfg: Config, metric: dict) -> None:
    """Add a metric to those of the test."""
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    cfg.test_evaluator = [*evaluators, metric]


def coco_file(cfg: Config) -> str:
    """Annotation file of the test set.

    Raises:
        ValueError: The test set has no categories of COCO.
    """
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:  # wrappers
        dataset = dataset.dataset
    if dataset.type.rpartition('.')[2] not in _COCO_DATASETS:
        raise ValueError(f'--format coco: the test set is a {dataset.type}; accepted are {", ".join(_COCO_DATASETS)}')
    return os.path.join(dataset.get('data_root', ''), dataset.ann_file)


def benchmark_configs(cfg: Config, args: argparse.Namespace) -> dict[str, Config]:
    """The config itself, or by name those of the benchmarks that the command line asks for.

    Raises:
        FileNotFoundError, ValueError: A benchmark is unknown, or the model has no task for it; or one output is asked
            for and there are several benchmarks.
    """
    if not args.benchmark:
        return {'test': cfg}
    benchmarks = [load_benchmark(name) for name in expand_benchmarks(args.benchmark)]
    if len(benchmarks) > 1 and (args.out or args.show_dir or args.format):
        raise ValueError('--out, --format and --show-dir take one benchmark at a time')
    return {benchmark.name: apply_benchmark(cfg, benchmark, args.protocol) for benchmark in benchmarks}


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Entry point; mistakes end the program with one line and exit code 1."""
    with one_line_errors('command line', ValueError):
        args = parse_args(argv, prog)
    with one_line_errors(f'config {args.config}', OSError, ValueError):
        configs = benchmark_configs(read_run_config(args), args)
        for cfg in configs.values():
            apply_test_arguments(cfg, args)
    first, *others = configs
    runner = start_runner(configs[first], args)
    with one_line_errors(f'data of config {args.config}'):
        runner.test_loop  # noqa: B018  builds the dataset now, where a mistake in it can be told from others
    with one_line_errors('testing'), lost_process_named():
        results = {first: runner.test(), **{name: runner.test_on(configs[name]) for name in others}}
    if args.benchmark and is_main_process():
        for name, metrics in results.items():
            tell(f'{name} ({args.protocol}): ' + ', '.join(f'{key} {value:.4f}' for key, value in metrics.items()))
    shut_down()
