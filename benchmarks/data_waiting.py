"""Share of training time spent waiting for data, and what one worker prepares, for any config.

    python benchmarks/data_waiting.py xdecoder_focal-nano_scenes-joint --workers 0 1 2 --iterations 20

Trains with the config's own loop, model and data; nothing is validated or saved. Waiting is the time from the end of an
iteration to the arrival of the next batch. Without workers it is all the work on the data, which gives the samples a
second that one worker prepares; that line is in processor time, which other programs on the machine change little. With
workers it is in wall-clock time and wants an idle machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

import xdet  # noqa: F401  (makes the OpenMMLab stack importable)
from xdet.cli.overrides import apply_overrides
from xdet.cli.places import output_file
from xdet.engine.runner import XDetRunner
from xdet.io.writing import write_json
from xdet.model_zoo import find_config, load_config
from xdet.visualization import XDetLocalVisualizer


class Stopwatch(Hook):
    """Seconds of waiting and of computing, without the first iterations, in which workers start.

    Args:
        warm_up (int): Iterations to leave out.
        clock (Callable): Seconds.
    """

    priority = 'LOWEST'

    def __init__(self, warm_up: int, clock: Callable[[], float]) -> None:
        self.warm_up = warm_up
        self.clock = clock
        self.waiting = self.computing = 0.0

    def before_train_epoch(self, runner: Runner) -> None:
        """Start."""
        self._last = self.clock()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """The batch is here."""
        self._waited = self._lap()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | Sequence | None = None, outputs: dict | None = None
    ) -> None:
        """The parameters are updated."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        computed = self._lap()
        if batch_idx >= self.warm_up:
            self.waiting += self._waited
            self.computing += computed

    def _lap(self) -> float:
        now = self.clock()
        lap, self._last = now - self._last, now
        return lap


def measure(cfg: Config, workers: int, iterations: int, warm_up: int) -> dict[str, float]:
    """Train a little with so many workers per source."""
    for manager in (DefaultScope, MessageHub, MMLogger, Visualizer, XDetLocalVisualizer):
        manager._instance_dict.clear()  # a runner in this process went before
    loaders = [cfg.train_dataloader] if 'dataset' in cfg.train_dataloader else list(cfg.train_dataloader.values())
    for loader in loaders:
        loader.num_workers = workers
        loader.persistent_workers = workers > 0
    runner = XDetRunner.from_cfg(cfg)
    watch = Stopwatch(warm_up, time.perf_counter if workers else time.process_time)
    runner.register_hook(watch)
    runner.train()
    samples = sum(loader.batch_size for loader in loaders) * (iterations - warm_up)
    total = watch.waiting + watch.computing
    return dict(
        workers=workers,
        seconds_per_iteration=total / (iterations - warm_up),
        waiting_percent=100 * watch.waiting / total,
        samples_per_second=samples / total,
        **({} if workers else dict(prepared_per_second=samples / watch.waiting)),
    )


def training_only(cfg: Config, iterations: int, work_dir: str) -> Config:
    """The config without validation, checkpoints and learning rate schedules."""
    cfg.work_dir = work_dir
    for part in ('val', 'test'):
        for key in ('dataloader', 'evaluator', 'cfg'):
            cfg[f'{part}_{key}'] = None
    cfg.train_cfg.max_iters = iterations
    cfg.train_cfg.pop('val_interval', None)
    cfg.param_scheduler = None
    cfg.default_hooks = dict(checkpoint=None, logger=dict(type='LoggerHook', interval=iterations))
    cfg.vis_backends = []
    return cfg


def main() -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='name or path of a config')
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 2], help='workers per source')
    parser.add_argument('--iterations', type=int, default=20)
    parser.add_argument('--warm-up', type=int, default=4, help='first iterations that do not count')
    parser.add_argument('--out', type=output_file, help='JSON file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    args = parser.parse_args()
    results = []
    for workers in args.workers:
        cfg = load_config(find_config(args.config))
        apply_overrides(cfg, args.cfg_options)
        with tempfile.TemporaryDirectory() as folder:
            result = measure(training_only(cfg, args.iterations, folder), workers, args.iterations, args.warm_up)
        results.append({key: round(value, 3) for key, value in result.items()})
        print(json.dumps(results[-1]), flush=True)
    if args.out:
        facts = dict(config=args.config, iterations=args.iterations, threads=torch.get_num_threads())
        write_json(args.out, dict(**facts, results=results), indent=2)


if __name__ == '__main__':
    main()
