"""How many samples a second one worker prepares, for any config: reading, decoding, augmenting, packing.

Runs the training dataset of a config (every source of a joint one) in this process, in the order of its sampler, and
says how the time is shared among the transforms. Where other programs use the cores too, look at processor time.

Usage: python benchmarks/data_pipelines.py CONFIG [--samples 200] [--out result.json] [--cfg-options KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from typing import Any

import cv2
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

import xdet  # noqa: F401  (makes the OpenMMLab stack importable)
from xdet.cli.overrides import apply_overrides
from xdet.cli.places import output_file
from xdet.io.writing import write_json
from xdet.model_zoo import find_config, load_config
from xdet.registry import DATA_SAMPLERS, DATASETS


class Timed:
    """A transform that adds the processor time it takes to a table."""

    def __init__(self, transform: Any, table: dict[str, float]) -> None:
        self.transform = transform
        self.table = table

    def __call__(self, results: dict) -> dict:
        begin = time.process_time()
        try:
            return self.transform(results)
        finally:
            self.table[type(self.transform).__name__] += time.process_time() - begin


def measure(loader: Config, samples: int, seed: int = 0) -> dict:
    """Throughput of one data loader's dataset."""
    begin = time.perf_counter()
    dataset = DATASETS.build(loader.dataset)
    opened = time.perf_counter() - begin
    order = DATA_SAMPLERS.build(loader.sampler, default_args=dict(dataset=dataset, seed=seed))
    table: dict[str, float] = defaultdict(float)
    inner = getattr(dataset, 'dataset', dataset)
    for part in getattr(inner, 'datasets', [inner]):  # of a concatenation
        part.pipeline.transforms = [Timed(transform, table) for transform in part.pipeline.transforms]
    draws = itertools.islice(itertools.cycle(order), samples + 5)
    for draw in itertools.islice(draws, 5):  # reads lexica, opens files
        dataset[draw]
    table.clear()
    wall, processor = time.perf_counter(), time.process_time()
    for draw in draws:
        dataset[draw]
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    shares = {name: 100 * spent / processor for name, spent in table.items()}
    return dict(
        dataset_size=len(dataset),
        opening_s=opened,
        samples_per_s_wall=samples / wall,
        samples_per_s_processor=samples / processor,
        milliseconds=1000 * processor / samples,
        percent_of_time=dict(shares, reading=100 - sum(shares.values())),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='name or path of a config')
    parser.add_argument('--samples', type=int, default=200)
    parser.add_argument('--out', type=output_file)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    init_default_scope('xdet')
    cfg = load_config(find_config(args.config))
    apply_overrides(cfg, args.cfg_options)
    loaders = cfg.train_dataloader
    sources = dict(train=loaders) if 'dataset' in loaders else loaders
    results = {name: measure(loader, args.samples) for name, loader in sources.items()}
    for name, result in results.items():
        print(
            f'{name}: {result["samples_per_s_processor"]:.1f} samples per second of processor time '
            f'({result["milliseconds"]:.1f} ms each, {result["samples_per_s_wall"]:.1f} per second of wall time)'
        )
        for transform, percent in result['percent_of_time'].items():
            print(f'    {percent:5.1f} %  {transform}')
    if args.out:
        write_json(args.out, results, indent=2)


if __name__ == '__main__':
    main()
