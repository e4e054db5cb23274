"""Compares choices of the training on photographs: short trainings, each on equally many images from the same weights.

    PHOTOS_ROOT=... COCO_ROOT=... python benchmarks/photos_ablation.py WEIGHTS --start START [--only NAME ...]

WEIGHTS already know photographs a little, so that a short training shows something; START (tools/misc/start_weights.py)
has a distilled text tower and a decoder that never saw a photograph, for the rows about the text tower, and is compared
with itself with the text tower of the generated world. All rows share budget, data, seed and learning rate; what a row
changes stands in VARIANTS. Rows that --out already holds are not repeated. Writes <name>.json and ablation.md.
"""

from __future__ import annotations

import argparse
import copy
import runpy
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import set_random_seed
from torch import Tensor

from xdet.analysis.photo_report import Photographs, chosen, photo_dataset, without_nan
from xdet.analysis.subject import import_components
from xdet.analysis.tables import Cell, markdown
from xdet.cli.errors import one_line_errors
from xdet.compat.checkpoint import read_state_dict, write_state_dict
from xdet.engine.joint import train_loaders
from xdet.engine.runner import XDetRunner
from xdet.io.reading import read_json
from xdet.io.writing import write_json, write_text
from xdet.model_zoo import EMBEDDED, find_config, load_config

CONFIG = 'xdecoder_lite0-nano_joint-photos-more'
START_WEIGHTS = Path(__file__).resolve().parents[1] / 'tools' / 'misc' / 'start_weights.py'
SIZES = {'LargeScaleJitter': ('size',), 'mmdet.Resize': ('scale',), 'ResizeShortestEdge': ('scale', 'max_size')}
LOSS = 'model.tasks.segmentation.loss'
PIXEL_NAMES = 'tasks.segmentation.pixel_names'
SHOWN = {'mIoU7': 'mIoU7', 'PQ_animals': 'PQ animals', 'PQ_person': 'PQ people', 'class_loss': 'class loss'}


class Variant(NamedTuple):
    """A row.

    Attributes:
        text (str): What it changes.
        options (Mapping[str, Any]): Changes to the config.
        sources (Mapping[str, int]): Images of a step by source; they add up to 8.
        weights (str): Where it starts: ``'trained'``, ``'start'`` or ``'undistilled'``.
        segments_only (bool): Without the texts that are made from labels.
        larger (float): Factor of the image size in the last quarter of the steps, and in the test.
        new_parts (Sequence[str]): Parts that start from nothing; WEIGHTS must not have them.
        trains (bool): False: what the weights can do before.
    """

    text: str
    options: Mapping[str, Any] = {}  # noqa: RUF012
    sources: Mapping[str, int] = {'segments': 8}  # noqa: RUF012
    weights: str = 'trained'
    segments_only: bool = False
    larger: float = 1.0
    new_parts: Sequence[str] = ()
    trains: bool = True


VARIANTS = {
    'before': Variant('nothing trained', trains=False),
    'base': Variant('photographs: segments and texts from labels'),
    'no-object-0.02': Variant('no-object weight 0.02 in place of 0.1', {f'{LOSS}.no_object_weight': 0.02}),
    'no-object-0.4': Variant('no-object weight 0.4', {f'{LOSS}.no_object_weight': 0.4}),
    'pixel-names': Variant('pixels learn names too (PixelNames), from nothing', new_parts=(PIXEL_NAMES,)),
    'stride-16': Variant('layers attend stride 16 only', {'model.decoder.levels': (1,)}),
    'queries-26': Variant('26 queries in place of 51', {'model.decoder.num_queries': 26}),
    'queries-101': Variant('101 queries', {'model.decoder.num_queries': 101}),
    'joint': Variant('with captions and generated world', sources={'segments': 4, 'pairs': 2, 'scenes': 2}),
    'single-task': Variant('segments alone, no texts', segments_only=True),
    'boxes': Variant('with COCO images of which boxes are known', sources={'segments': 6, 'boxes': 2}),
    'distilled': Variant('from START: distilled text tower', weights='start'),
    'undistilled': Variant('from START with the text tower of the generated world', weights='undistilled'),
    'larger-end': Variant('last quarter of the steps, and test, at 1.5 times the size', larger=1.5),
    'larger-test': Variant('the base row tested at 1.5 times the size', larger=1.5, trains=False),
    'stuff': Variant('with COCO panoptic images', sources={'segments': 6, 'stuff': 2}),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('weights', help='where most rows start')
    parser.add_argument('--start', help='where the rows about the text tower start')
    parser.add_argument('--only', nargs='+', choices=VARIANTS, default=list(VARIANTS), metavar='NAME')
    parser.add_argument('--steps', type=int, default=80, help='of 8 images each (80)')
    parser.add_argument('--size', type=int, default=256, help='of the images (256)')
    parser.add_argument('--lr', type=float, default=4e-4, help='at its highest (4e-4)')
    parser.add_argument('--every', type=int, default=4, metavar='N', help='test on every n-th validation image (4)')
    parser.add_argument('--data-root', metavar='DIR', help="validation photographs (default: the config's)")
    parser.add_argument('--out', type=Path, default=Path('work_dirs/photos_ablation'))
    return parser.parse_args()


def resized(pipeline: Sequence[Mapping[str, Any]], factor: float) -> list[dict[str, Any]]:
    """The pipeline with other sizes of images."""
    steps = [dict(step) for step in pipeline]
    for step in steps:
        for key in SIZES.get(step['type'], ()):
            size = step[key]
            step[key] = (
                tuple(round(factor * side) for side in size) if not isinstance(size, int) else round(factor * size)
            )
    return steps


def config_of(name: str, args: argparse.Namespace, weights: Path) -> Config:
    """The config of a row; optional parts that the weights do not have, and the row does not add, are left out."""
    variant = VARIANTS[name]
    cfg = load_config(find_config(CONFIG))
    if 'boxes' not in variant.sources:
        cfg.model.tasks.segmentation.loss.box_loss = None
    known = has_part(weights, PIXEL_NAMES)
    if not known and PIXEL_NAMES not in variant.new_parts:
        cfg.model.tasks.segmentation.pixel_names = None
    cfg.allow_missing = tuple(f'{part}.*' for part in variant.new_parts)
    cfg.merge_from_dict(dict(variant.options))
    cfg.work_dir, cfg.experiment_name = str(args.out / name), f'{name}_{time.time_ns()}'
    cfg.load_from = str(weights)
    sources = {}
    for source, images in variant.sources.items():
        loader = copy.deepcopy(cfg.train_dataloader[source])
        loader.update(batch_size=images, num_workers=0, persistent_workers=False)
        data = loader.dataset.dataset
        data.pipeline = resized(data.pipeline, args.size / cfg.size)
        if variant.segments_only:
            data.pipeline = [step for step in data.pipeline if step['type'] != 'DescribeSegments']
        sources[source] = loader
    cfg.train_dataloader = sources
    cfg.train_cfg = dict(type='JointTrainLoop', max_iters=args.steps, val_interval=args.steps + 1)
    for part in ('val', 'test'):
        cfg[f'{part}_dataloader'] = cfg[f'{part}_cfg'] = cfg[f'{part}_evaluator'] = None
    warm_up = max(1, args.steps // 10)
    cfg.param_scheduler = [
        dict(type='LinearLR', by_epoch=False, begin=0, end=warm_up, start_factor=0.1),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=warm_up, end=args.steps, eta_min=args.lr / 100),
    ]
    cfg.optim_wrapper.optimizer.lr = args.lr
    cfg.default_hooks.logger.interval = 10
    cfg.default_hooks.checkpoint.update(interval=args.steps, max_keep_ckpts=1, save_optimizer=False)
    cfg.randomness = dict(seed=0)
    return cfg


def has_part(weights: str | Path, part: str) -> bool:
    """Whether a file of weights has parameters of a part."""
    return any(key.startswith(f'{part}.') for key in read_state_dict(str(weights)))


class LargerImages(Hook):
    """Changes the size of training images in the middle; data are read in this process, so they notice at once."""

    def __init__(self, step: int, factor: float) -> None:
        self.step, self.factor = step, factor

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """The batch of this step is made already; the next ones are larger."""
        if batch_idx != self.step:
            return
        for loader, _ in train_loaders(runner):
            for transform in loader.dataset.dataset.pipeline.transforms:
                for key in SIZES.get(type(transform).__name__, ()):
                    setattr(transform, key, tuple(round(self.factor * side) for side in getattr(transform, key)))


def weights_of(name: str, args: argparse.Namespace) -> Path:
    """The file that a row starts from, made to fit its number of queries."""
    variant = VARIANTS[name]
    tool = runpy.run_path(str(START_WEIGHTS))
    state: dict[str, Tensor] = read_state_dict(args.weights if variant.weights == 'trained' else args.start)
    if variant.weights == 'undistilled':
        scenes = read_state_dict(str(EMBEDDED['scenes'].weights))
        state = {key: scenes[key] if key.startswith('text_encoder.') else value for key, value in state.items()}
    number = variant.options.get('model.decoder.num_queries')
    if number is not None:
        torch.manual_seed(0)
        for key in tool['QUERIES']:
            state[key] = tool['other_number_of_queries'](state[key].float(), number)
    path = args.out / f'{name}.safetensors'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_state_dict(state, path, 'float16')
    return path


def train(name: str, args: argparse.Namespace) -> tuple[torch.nn.Module, dict[str, float]]:
    """The model of a row after its training, and what the training says."""
    variant, weights = VARIANTS[name], weights_of(name, args)
    set_random_seed(0)
    runner = XDetRunner.from_cfg(config_of(name, args, weights))
    if variant.larger != 1:
        runner.register_hook(LargerImages(args.steps * 3 // 4, variant.larger))
    begin = time.time()
    runner.train()
    classes = runner.message_hub.get_scalar('train/segments.loss_cls')
    found = dict(class_loss=float(classes.mean(max(1, args.steps // 5))), train_seconds=time.time() - begin)
    write_state_dict(runner.model.state_dict(), args.out / f'{name}.safetensors', 'float16')
    return runner.model, found


def trained_before(name: str, args: argparse.Namespace) -> torch.nn.Module:
    """The model of a row that is only tested: untrained, or that of the base row."""
    weights = weights_of(name, args) if name == 'before' else args.out / 'base.safetensors'
    if not weights.exists():
        raise ValueError(f'{name}: needs the row base, which is not in {args.out}')
    runner = XDetRunner.from_cfg(config_of(name, args, weights))
    runner.load_or_resume()
    return runner.model


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """The numbers of a row."""
    variant = VARIANTS[name]
    model, found = train(name, args) if variant.trains else (trained_before(name, args), {})
    cfg = load_config(find_config(CONFIG))
    dataset = photo_dataset(cfg, args.data_root)
    dataset['pipeline'] = resized(dataset['pipeline'], args.size * variant.larger / cfg.size)
    photographs = Photographs(model.eval(), chosen(dataset, args.every), tasks=('panoptic', 'semantic'))
    for _ in photographs.run():
        pass
    return {**photographs.values(), **found, 'steps': args.steps, 'size': args.size}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of all rows."""
    header = ['row', 'what it changes', *SHOWN.values(), 'seconds']
    rows: list[list[Cell]] = [
        [name, VARIANTS[name].text, *(found.get(key) for key in SHOWN), round(found.get('train_seconds') or 0) or None]
        for name, found in results.items()
    ]
    return markdown(header, rows)


def main() -> None:
    args = parse_args()
    import_components()
    results: dict[str, Mapping[str, Any]] = {}
    with one_line_errors('ablation', ValueError, OSError):
        for name in args.only:
            if VARIANTS[name].weights != 'trained' and args.start is None:
                print(f'{name}: left out, it needs --start')
                continue
            if any(has_part(args.weights, part) for part in VARIANTS[name].new_parts):
                print(f'{name}: left out, the weights have that part already')
                continue
            record = args.out / f'{name}_{args.steps}x{args.size}.json'
            if not record.exists():
                write_json(record, without_nan(measure(name, args)), indent=1)
            results[name] = read_json(record)
            write_text(args.out / 'ablation.md', f'{table(results)}\n')
    print(table(results))


if __name__ == '__main__':
    main()
