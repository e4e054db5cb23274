"""Compares training tasks one by one with training them together, on the generated world.

    OMP_NUM_THREADS=1 python benchmarks/joint_training.py [WEIGHTS] [--only NAME ...] [--iterations N] [--out DIR]

Every run starts from the same weights (random ones by default) and sees the same scenes, equally many, in the config
``xdecoder_focal-nano_scenes-joint``; only the targets that the pipeline hands out differ. Measured on 200 validation
scenes. Runs that ``--out`` already holds are not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import set_random_seed

from xdet.engine.runner import XDetRunner
from xdet.io.writing import write_json
from xdet.model_zoo import find_config, load_config

TASKS = {
    'segmentation': dict(texts=(), tasks=('panoptic',), metrics=('PanopticQuality',)),
    'referring': dict(texts=('phrases',), tasks=('refseg',), metrics=('ReferringIoU',)),
    'captioning': dict(
        texts=('caption', 'regions'), tasks=('caption', 'refcaption'), metrics=('CaptionMatch', 'RegionCaptionMatch')
    ),
    'retrieval': dict(texts=('caption',), tasks=('retrieval',), metrics=('RetrievalRecall',)),
    'vqa': dict(texts=('questions',), tasks=('vqa',), metrics=('VQAAccuracy',)),
}
REPORTED = (
    'panoptic/PQ',
    'referring/cIoU',
    'caption/exact',
    'caption/CIDEr-D',
    'region_caption/exact',
    'retrieval/image_to_text_R@1',
    'retrieval/text_to_image_R@1',
    'vqa/accuracy',
)


def config_of(name: str, weights: str | None, iterations: int, out: Path) -> Config:
    """The joint config, or the same with the targets of one task only."""
    cfg = load_config(find_config('xdecoder_focal-nano_scenes-joint'))
    cfg.work_dir, cfg.experiment_name, cfg.load_from = str(out / name), f'{name}_{time.time_ns()}', weights
    cfg.train_cfg.max_iters = iterations
    cfg.train_cfg.val_interval = iterations + 1  # measured at the end
    cfg.default_hooks.checkpoint.interval = iterations
    if name != 'joint':
        only = TASKS[name]
        train, val = cfg.train_dataloader.dataset.dataset.pipeline, cfg.val_dataloader.dataset.pipeline
        train[2].texts = only['texts']
        train[3].update(tasks=only['tasks'], segments=name == 'segmentation')
        val[2].tasks = only['tasks']
        cfg.val_evaluator = [metric for metric in cfg.val_evaluator if metric.type in only['metrics']]
    return cfg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('weights', nargs='?', help='where every run starts (default: random weights)')
    parser.add_argument('--only', nargs='+', choices=[*TASKS, 'joint'], default=[*TASKS, 'joint'])
    parser.add_argument('--iterations', type=int, default=800, help='of 8 scenes each')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/joint_training'))
    args = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    for name in args.only:
        record = args.out / name / f'metrics_{args.iterations}.json'
        if not record.exists():
            set_random_seed(0)
            runner = XDetRunner.from_cfg(config_of(name, args.weights, args.iterations, args.out))
            start = time.time()
            runner.train()
            seconds = time.time() - start
            write_json(record, dict(runner.val_loop.run(), seconds=seconds))
        results[name] = json.loads(record.read_text())
    print('| | ' + ' | '.join(results) + ' |\n|---' + '|---' * len(results) + '|')
    for metric in (*REPORTED, 'seconds'):
        values = [f'{row[metric]:.1f}' if metric in row else '' for row in results.values()]
        print(f'| {metric} | ' + ' | '.join(values) + ' |')


if __name__ == '__main__':
    main()
