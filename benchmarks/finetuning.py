"""Compares ways of fine-tuning on the generated world.

    OMP_NUM_THREADS=1 python benchmarks/finetuning.py WEIGHTS EXPERIMENT [WAY ...] [--iters N] [--work-dir DIR]

Every way of an experiment starts from the same weights and sees equally many scenes. Printed are metrics on held-out
scenes of what is learned (``new``) and of what the weights knew before (``old``). Experiments:

* ``words``: segmentation in words that the text encoder has never read (split ``test_words``);
* ``shapes``: segmentation by the shape alone, colours merged: other classes in words that it has read;
* ``refseg``, ``caption``, ``retrieval``, ``vqa``: one task of language, which weights that only segment do not know.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from xdet.io.writing import write_json

ROOT = Path(__file__).resolve().parents[1]
SHAPES = Path('data/shapes')

HEADS = ["trainable=['decoder.class_embed','decoder.mask_embed.*']", 'optim_wrapper.optimizer.lr=2e-3']
QUERIES = ["trainable=['decoder.query_feat','decoder.query_embed']", 'optim_wrapper.optimizer.lr=2e-3']
LORA = ['lora.r=8', "lora.targets=['decoder.layers.*']", 'optim_wrapper.optimizer.lr=2e-3']
LORA_TEXT = ['lora.r=8', "lora.targets=['text_encoder.*']", 'optim_wrapper.optimizer.lr=2e-3']


class Run(NamedTuple):
    """A config and changes to it."""

    config: str
    options: list[str] = []  # noqa: RUF012


class Experiment(NamedTuple):
    """What is compared.

    Attributes:
        metrics (tuple[str, ...]): Names of the numbers that are printed.
        ways (dict[str, Run]): How to train.
        tests (dict[str, Run]): How to test.
    """

    metrics: tuple[str, ...]
    ways: dict[str, Run]
    tests: dict[str, Run]


def config(name: str) -> str:
    return f'xdecoder_focal-nano_finetune-{name}'


def scenes(name: str, split: str, *options: str) -> Run:
    return Run(config(name), [f'test_dataloader.dataset.split={split}', *options])


def language(name: str, *metrics: str) -> Experiment:
    own = "'decoder.class_embed','decoder.mask_embed.*'" if name == 'refseg' else "'tasks.*'"
    adapters = [*LORA, f"trainable=['decoder.query_feat','decoder.query_embed',{own}]"]
    ways = {'full': Run(config(name)), 'lora': Run(config(name), adapters)}
    return Experiment(metrics, ways, {'new': scenes(name, 'test')})


def own_data(*keys: str) -> list[str]:
    return [f'{key}.data_root={SHAPES}/' for key in keys]


PLAIN = own_data('train_dataloader.dataset.dataset', 'val_dataloader.dataset')
MIXED = own_data('train_dataloader.dataset.dataset.datasets.0', 'val_dataloader.dataset')
EXPERIMENTS = {
    'words': Experiment(
        ('panoptic/PQ',),
        {
            'heads': Run(config('words'), HEADS),
            'queries': Run(config('words'), QUERIES),
            'lora': Run(config('words'), LORA),
            'lora-text': Run(config('words'), LORA_TEXT),
            'full': Run(config('words')),
            'mixed': Run(config('words-mixed'), ["trainable=['*']", "frozen=['text_encoder']"]),
            'mixed-text': Run(config('words-mixed')),
        },
        {'new': scenes('words', 'test_words'), 'old': scenes('words', 'test')},
    ),
    'shapes': Experiment(
        ('panoptic/PQ',),
        {
            'heads': Run(config('coco'), PLAIN + HEADS),
            'queries': Run(config('coco'), PLAIN + QUERIES),
            'lora': Run(config('coco'), PLAIN + LORA),
            'full': Run(config('coco'), PLAIN),
            'frozen-text': Run(config('coco'), [*PLAIN, "frozen=['text_encoder']"]),
            'open-vocabulary': Run(config('open-vocabulary'), MIXED),
        },
        {
            'new': Run(config('coco'), own_data('test_dataloader.dataset')),
            # The same images, asked for by the names that the weights knew.
            'old': scenes('words', 'val', 'test_dataloader.dataset.seed=1'),
        },
    ),
    'refseg': language('refseg', 'referring/cIoU', 'referring/mIoU'),
    'caption': language('caption', 'caption/exact', 'caption/CIDEr-D'),
    'retrieval': language('retrieval', 'retrieval/image_to_text_R@1', 'retrieval/text_to_image_R@1'),
    'vqa': language('vqa', 'vqa/accuracy'),
}


def call(tool: str, *arguments: str) -> str:
    """Output of a program of tools/."""
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        raise SystemExit(f'{tool} {" ".join(arguments)}\n{result.stdout[-2000:]}')
    return result.stdout


def write_shapes(pictures: dict[str, int]) -> None:
    """Scenes of another world (seed 1) whose things are annotated by their shape alone, as own data would be."""
    for split, number in pictures.items():
        path = SHAPES / 'annotations' / f'panoptic_{split}.json'
        if path.exists():
            continue
        options = ('--split', split, '--num', str(number), '--seed', '1')
        call('dataset_converters/generate_scenes', str(SHAPES), *options)
        content = json.loads(path.read_text())
        names = {one['id']: one['name'].split()[-1] if one['isthing'] else one['name'] for one in content['categories']}
        first = {name: number for number, name in reversed(names.items())}  # the id that stands for a shape
        content['categories'] = [
            {**one, 'name': names[one['id']]} for one in content['categories'] if one['id'] in first.values()
        ]
        for annotation in content['annotations']:
            for segment in annotation['segments_info']:
                segment['category_id'] = first[names[segment['category_id']]]
        write_json(path, content)


def cfg_options(*options: str) -> list[str]:
    return ['--cfg-options', *options] if options else []


def measure(
    test: Run, adapters: list[str], checkpoint: str, folder: Path, number: int, metrics: tuple[str, ...]
) -> str:
    """The metrics as text."""
    options = cfg_options(*test.options, *adapters, *_number(test, number))
    call('test', test.config, checkpoint, '--work-dir', str(folder), *options)
    newest = max(folder.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    values = json.loads(newest.read_text())
    return ' '.join(f'{values[name]:5.1f}' for name in metrics)


def _number(test: Run, number: int) -> list[str]:
    key = 'indices' if test.config == config('coco') else 'num_scenes'
    group = [f'test_evaluator.0.group_size={number}'] if 'retrieval' in test.config else []
    return [f'test_dataloader.dataset.{key}={number}', *group]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights')
    parser.add_argument('experiment', choices=EXPERIMENTS)
    parser.add_argument('ways', nargs='*', help='default: before (nothing trained) and all of the experiment')
    parser.add_argument('--iters', type=int, default=150)
    parser.add_argument('--num-tests', type=int, default=100, help='scenes to test on')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/finetuning'))
    args = parser.parse_args()
    experiment = EXPERIMENTS[args.experiment]
    unknown = set(args.ways) - {'before', *experiment.ways}
    if unknown:
        parser.error(
            f'{args.experiment} has no way {", ".join(sorted(unknown))}; accepted: {", ".join(experiment.ways)}'
        )
    if args.experiment == 'shapes':
        write_shapes(dict(train=400, val=args.num_tests))
    print(f'{args.experiment}: {", ".join(experiment.metrics)} of {args.num_tests} scenes', flush=True)
    for way in args.ways or ['before', *experiment.ways]:
        folder, checkpoint, line, begin = (
            args.work_dir / args.experiment / way,
            args.weights,
            'nothing trained',
            time.time(),
        )
        options: list[str] = []
        if way != 'before':
            run = experiment.ways[way]
            options = run.options
            length = [f'train_cfg.max_iters={args.iters}', f'train_cfg.val_interval={args.iters + 1}']
            length.append(f'default_hooks.checkpoint.interval={args.iters}')
            arguments = ('--weights', args.weights, '--work-dir', str(folder), *cfg_options(*options, *length))
            output = call('train', run.config, *arguments)
            checkpoint = str(folder / f'iter_{args.iters}.pth')
            line = next(iter(re.findall(r'trains .*\)', output)), 'trains everything')
        seconds = time.time() - begin
        adapters = [option for option in options if option.startswith('lora.')]
        results = '  '.join(
            f'{name} {measure(test, adapters, checkpoint, folder / name, args.num_tests, experiment.metrics)}'
            for name, test in experiment.tests.items()
        )
        print(f'{way:16} {results}  {seconds:4.0f} s  {line}', flush=True)


if __name__ == '__main__':
    main()
