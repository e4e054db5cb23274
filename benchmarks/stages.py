"""How long every stage of every task takes, here and in another revision, measured in turn on the same machine.

    python benchmarks/stages.py --against v0.1.0 --out stages.json
    python benchmarks/stages.py --model xdecoder_focal-nano --size 160x240 --repeats 3        # small, this tree alone

Two processes with one thread each hold the same model with the same weights, one from this tree and one from the named
revision (any since ``TextPrompts`` came in 0.2). They take turns, stage by stage; what counts is the least processor
time of a stage, which other programs disturb less than the time on the clock. Before that both compute everything once,
and the largest difference of their results is reported as a share of the results' RMS.

Operations are those of the formulas: a convolution counts as a direct one, whichever way it is computed. ``share`` is
the time that they would take at the rates of a large matrix product and of a large 3x3 convolution, measured in the
same run, over the time they took; shorter ways can exceed 1. What texts cost is counted and timed in a stage of its
own: the others remember them. The load of the machine is printed below the table. Weights are random, so thresholds are
off and all masks are made.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PHRASES = tuple(f'the {what} on the {side}' for what in ('red car', 'old man', 'dog', 'tree', 'cup') for side in 'ab')
HERE, THERE, TRAINING = 'this tree', 'revision', 'training step'


class Stages:
    """The stages of one model, in an order in which each finds what it needs of earlier ones."""

    def __init__(self, model: str, height: int, width: int, names: int, tokens: int, train_size: int) -> None:
        import torch
        from mmengine.config import Config
        from mmengine.registry import init_default_scope
        from mmengine.structures import InstanceData

        import xdet.registry
        from xdet.model_zoo import find_config
        from xdet.models.text import TextCache
        from xdet.structures import ImageFeatures, TextPrompts, Vocabulary, XDetDataSample

        init_default_scope('xdet')
        torch.set_num_threads(1)
        self.model = xdet.registry.MODELS.build(Config.fromfile(str(find_config(model))).model).eval()
        for name, parameter in self.model.named_parameters():
            if parameter.dim() > 1 or name.endswith('bias'):  # equal in all revisions, whatever they draw and when
                generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                width = parameter[0].numel() if parameter.dim() > 1 else 100
                torch.nn.init.normal_(parameter, std=1 / math.sqrt(width), generator=generator)
        task = self.model.tasks['segmentation']
        task.object_mask_threshold = task.overlap_threshold = 0.0
        padded = [-(-side // 32) * 32 for side in (height, width)]
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(1, 3, *padded, generator=generator)
        torch.manual_seed(0)
        matrix, square = torch.randn(3800, 512), torch.randn(512, 512)
        maps, kernel = torch.randn(1, 512, 48, 64), torch.randn(512, 512, 3, 3)
        vocabulary = Vocabulary(tuple(f'thing {number}' for number in range(names)), (True,) * names)
        few = Vocabulary(vocabulary.names[:10], (True,) * len(vocabulary.names[:10]))
        made: dict[str, Any] = {}

        def keep(name: str, value: Any) -> Any:
            made[name] = value
            return value

        def asked(task: str, **prompts: Any) -> Callable[[], Any]:
            def run() -> Any:
                meta = dict(img_shape=(height, width), ori_shape=(height, width), batch_input_shape=tuple(padded))
                sample = XDetDataSample(metainfo=meta)
                prompt = TextPrompts(tasks=(task,), **prompts)
                self.model.predict_features(made['features'], [sample], made['latents'], [prompt])
                return sample

            return run

        def latents() -> Any:
            latent = self.model.latent_pass(made['features'])
            keep('latents', latent)
            return latent.outputs.last

        def features() -> Any:
            mask_features, memory = self.model.pixel_decoder(made['maps'])
            keep('features', ImageFeatures(made['maps'], mask_features, tuple(memory)))
            return mask_features

        side = -(-train_size // 32) * 32
        masks = torch.zeros(6, side, side, dtype=torch.bool)
        for row in range(6):
            masks[row, row * side // 8 :, : (row + 2) * side // 8] = True
        shape = dict(img_shape=(side, side), ori_shape=(side, side), batch_input_shape=(side, side))
        target = XDetDataSample(metainfo=dict(shape, vocabulary=few, caption='a red car and an old man'))
        target.gt_segments = InstanceData(masks=masks, labels=torch.arange(6) % len(few.names))
        target.gt_phrases = InstanceData(masks=masks[:2], texts=list(PHRASES[:2]))

        def train() -> Any:
            torch.manual_seed(1)
            torch.nn.Module.train(self.model)  # texts stay remembered, as no weight changes
            losses = self.model.loss(torch.randn(1, 3, side, side), [target])
            sum(losses.values()).backward()
            self.model.zero_grad(set_to_none=True)
            torch.nn.Module.eval(self.model)
            return torch.stack([loss.detach() for loss in losses.values()])

        every: list[tuple[str, str | None, Callable[[], Any]]] = [
            ('matrix product', None, lambda: matrix @ square),
            ('convolution', None, lambda: torch.nn.functional.conv2d(maps, kernel, padding=1)),
            ('backbone', None, lambda: keep('maps', tuple(self.model.backbone(image)))[-1]),
            ('pixel decoder', None, features),
            ('decoder, latent queries', None, latents),
            ('10 class names in all templates', None, lambda: TextCache(self.model.text_encoder).classes(few)),
            (f'panoptic, {names} names', 'panoptic', asked('panoptic', vocabulary=vocabulary)),
            (f'semantic, {names} names', 'semantic', asked('semantic', vocabulary=vocabulary)),
            (f'instance, {names} names', 'instance', asked('instance', vocabulary=vocabulary)),
            ('1 phrase', 'refseg', asked('refseg', phrases=PHRASES[:1])),
            ('10 phrases', 'refseg', asked('refseg', phrases=PHRASES)),
            (f'caption of {tokens} tokens', 'caption', asked('caption', generation=dict(max_tokens=tokens))),
            ('classification', 'classification', asked('classification', vocabulary=few)),
            ('retrieval', 'retrieval', asked('retrieval', texts=PHRASES)),
            ('questions', 'vqa', asked('vqa', questions=PHRASES[:2])),
            (TRAINING, None, train),
        ]
        self.runs = {name: run for name, task, run in every if task is None or task in self.model.task_names}
        if side == 0:
            self.runs.pop(TRAINING)

    def run(self, name: str) -> Any:
        """A stage's result."""
        import torch

        with nullcontext() if name == TRAINING else torch.no_grad():
            return self.runs[name]()

    def time(self, name: str) -> float:
        """Its processor time in seconds."""
        start = time.process_time()
        self.run(name)
        return time.process_time() - start

    def operations(self, name: str) -> dict[str, float]:
        """Its operations in 1e9, those of convolutions apart, of a run in which texts are remembered."""
        from xdet.analysis.flops import countable, operation_counter

        self.run(name)
        with operation_counter() as counter, nullcontext() if name == TRAINING else countable():
            self.runs[name]()
        counts = {str(operation): number for operation, number in counter.get_flop_counts()['Global'].items()}
        convolutions = sum(number for operation, number in counts.items() if 'conv' in operation)
        return dict(gflop=sum(counts.values()) / 1e9, convolutions=convolutions / 1e9)

    def result(self, name: str, path: str) -> float:
        """Write the numbers of its result; returns the MiB that it needed beside what was there, if Linux tells."""
        import torch

        with memory() as peak:
            result = self.run(name)
        torch.save([part.contiguous() for part in _tensors(result)], path)
        return peak[0]


@contextmanager
def memory() -> Iterator[list[float]]:
    """Puts into the list how many MiB of memory were needed inside; NaN where that is not known."""
    peak = [math.nan]
    try:
        Path('/proc/self/clear_refs').write_text('5')
        before = _status('VmRSS')
    except OSError:
        yield peak
        return
    yield peak
    peak[0] = (_status('VmHWM') - before) / 1024


def _status(key: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ':'))


def _load() -> list[float]:
    """Programs that want a core, on average of the last 1, 5 and 15 minutes; empty where that is not known."""
    return [round(load, 1) for load in os.getloadavg()] if hasattr(os, 'getloadavg') else []


def _tensors(value: Any) -> list[Any]:
    """All tensors of a result, in order."""
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    if hasattr(value, 'mask_embed'):
        return [value.class_embed, value.mask_embed]
    if hasattr(value, 'all_items'):  # samples and their fields
        return [tensor for _, part in sorted(value.items()) for tensor in _tensors(part)]
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in _tensors(part)]
    if isinstance(value, (list, tuple)):
        return [tensor for part in value for tensor in _tensors(part)]
    return [torch.tensor(float(value))] if isinstance(value, (int, float)) else []


def work(settings: dict[str, Any]) -> None:
    """A process that does what it is told, line by line."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print is no answer
    stages = Stages(**settings)
    print(json.dumps(list(stages.runs)), file=answers, flush=True)
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        print(json.dumps(getattr(stages, method)(*arguments)), file=answers, flush=True)


class Worker:
    """Such a process, which imports xdet from ``tree``."""

    def __init__(self, tree: Path, settings: dict[str, Any]) -> None:
        environment = {**os.environ, 'PYTHONPATH': str(tree), 'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
        command = [sys.executable, '-W', 'ignore', __file__, '--worker', json.dumps(settings)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=tree
        )
        self.stages: list[str] = self._answer()

    def ask(self, *order: str) -> Any:
        """What a method of :class:`Stages` returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + '\n')
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit('a measuring process ended; what it said stands above')
        return json.loads(line)


def unpack(revision: str, folder: Path) -> str:
    """Write the files of a revision into a folder; returns its full name."""
    try:
        verify = ['git', 'rev-parse', '--verify', f'{revision}^{{commit}}']
        name = subprocess.run(verify, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        archive = subprocess.run(['git', 'archive', name], cwd=ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, 'stderr', '') or error
        raise SystemExit(f'--against {revision}: no revision of this repository ({str(said).strip()})') from None
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter='data')
    return name


def compare(workers: dict[str, Worker], repeats: int, folder: Path) -> list[dict[str, Any]]:
    """One row per stage: seconds of each process, operations, memory, and how far the results are apart."""
    import torch

    here = workers[HERE]
    stages = [name for name in here.stages if all(name in worker.stages for worker in workers.values())]
    rows: dict[str, dict[str, Any]] = {name: dict(stage=name) for name in stages}
    for name, row in rows.items():
        row.update(here.ask('operations', name))
        results = []
        for number, (who, worker) in enumerate(workers.items()):
            row[f'MiB {who}'] = worker.ask('result', name, str(folder / f'{number}.pt'))
            results.append(torch.load(folder / f'{number}.pt', weights_only=True))
        if len(workers) > 1:
            row['difference'] = difference(*results)
    for repeat in range(repeats):
        for name, row in rows.items():
            for who, worker in list(workers.items())[:: 1 if repeat % 2 else -1]:
                row[who] = min(row.get(who, math.inf), worker.ask('time', name))
    rates = [rows[name]['gflop'] / rows[name][HERE] for name in ('matrix product', 'convolution')]
    for row in rows.values():
        least = (row['gflop'] - row['convolutions']) / rates[0] + row['convolutions'] / rates[1]
        row['GFLOP/s'], row['share'] = row['gflop'] / row[HERE], least / row[HERE]
        if THERE in row:
            row['ratio'] = row[THERE] / row[HERE]
    return list(rows.values())


def difference(ours: list[Any], theirs: list[Any]) -> float:
    """How far two lists of tensors are apart: the largest difference as a share of the RMS, of masks and labels the
    share of entries that differ; infinite where the tensors are not alike."""
    if [part.shape for part in ours] != [part.shape for part in theirs]:
        return math.inf
    apart = [0.0]
    for one, two in zip(ours, theirs, strict=True):
        if not one.is_floating_point():
            apart.append(float((one != two).float().mean()) if one.numel() else 0.0)
        elif one.numel():
            apart.append(float((one - two).abs().max() / two.square().mean().sqrt().clamp(min=1e-12)))
    return max(apart)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    keys = (THERE, HERE, 'ratio', 'gflop', 'GFLOP/s', 'share', f'MiB {THERE}', f'MiB {HERE}', 'difference')
    columns = [key for key in keys if key in rows[0]]
    digits = {THERE: '.3f', HERE: '.3f', 'ratio': '.2f', 'gflop': '.1f', 'share': '.2f', 'difference': '.0e'}
    lines = ['| stage | ' + ' | '.join(columns) + ' |', '|---' * (len(columns) + 1) + '|']
    for row in rows:
        cells = [row['stage'], *(format(row[key], digits.get(key, '.0f')) for key in columns)]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--against', help='a revision of git to compare with, such as v0.1.0 or HEAD~3')
    parser.add_argument('--model', default='xdecoder_focal-t', help='name of a shipped config')
    parser.add_argument('--size', default='800x1201', help='height x width of the image')
    parser.add_argument('--names', type=int, default=133, help='class names of segmentation')
    parser.add_argument('--tokens', type=int, default=12, help='of the caption')
    parser.add_argument('--train-size', type=int, default=256, help='side of the training image; 0 leaves it out')
    parser.add_argument('--repeats', type=int, default=3, help='the best of so many runs counts')
    parser.add_argument('--out', help='JSON file')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.worker:
        work(json.loads(args.worker))
        return
    try:
        height, width = map(int, args.size.split('x'))
    except ValueError:
        parser.error(f'--size {args.size} is no height x width, such as 800x1201')
    settings = dict(model=args.model, height=height, width=width, names=args.names, tokens=args.tokens)
    settings['train_size'] = args.train_size
    about = dict(settings, repeats=args.repeats)
    loads = [_load()]
    with tempfile.TemporaryDirectory() as folder:
        trees = {HERE: ROOT}
        if args.against:
            trees = {THERE: Path(folder) / 'tree', HERE: ROOT}
            about['against'] = unpack(args.against, trees[THERE])
        workers = {who: Worker(tree, settings) for who, tree in trees.items()}
        rows = compare(workers, args.repeats, Path(folder))
        for worker in workers.values():
            worker.close()
    loads.append(_load())
    about['load'] = loads
    print(f'{table(rows)}\n\nload of the machine (1, 5, 15 minutes) before: {loads[0]}; after: {loads[1]}')
    if args.out:
        Path(args.out).write_text(json.dumps(dict(about, stages=rows), indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
