"""How long every stage of every task takes, here and in another revision, measured in turn on the same machine.

    python benchmarks/stages.py --against v0.1.0 --out stages.json
    python benchmarks/stages.py --model xdecoder_focal-nano --size 160x240 --repeats 3        # small, this tree alone
    python benchmarks/stages.py --against v0.1.0 --phrase-size 512x680 --caption-size 224x336 --tokens 12 50 \\
        --train-size 256 224 --only 'whole*' 'training step'    # tasks from pixels to results, each at its size

Two processes with one thread each hold the same model with the same weights, one from this tree and one from the named
revision (any since ``TextPrompts`` came in 0.2). They take turns, stage by stage; what counts is the least processor
time of a stage, which other programs disturb less than the time on the clock. Before that both compute everything once,
and the largest difference of their results is reported as a share of the results' RMS.

Stages of a task begin with an encoded image; those called "whole" begin with its pixels. Operations are those of the
formulas: a convolution counts as a direct one, whichever way it is computed. ``share`` is the time that they would take
at the rates of a large matrix product and of a large 3x3 convolution, measured in the same run, over the time they
took; shorter ways can exceed 1. What texts cost is counted and timed in stages of their own: the others remember them,
and class names have made-up embeddings. The load of the machine is printed below the table. Weights are random, so
thresholds are off and all masks are made.
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
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PHRASES = tuple(f'the {what} on the {side}' for what in ('red car', 'old man', 'dog', 'tree', 'cup') for side in 'ab')
HERE, THERE, TRAINING = 'this tree', 'revision', 'training step'
RATES = 'matrix product', 'convolution'


class Stages:
    """The stages of one model.

    Args:
        model (str): Name of a shipped config.
        sizes (dict[str, list[int]]): Height and width of the image for ``'image'``, ``'phrases'`` and ``'caption'``.
        names (int): Class names of segmentation.
        tokens (list[int]): Lengths of captions.
        train_sizes (list[int]): Side of the training image, and of another one for captions if there is a second;
            0 leaves training out.
        only (list[str]): Patterns of stages; others are left out.
    """

    def __init__(
        self,
        model: str,
        sizes: dict[str, list[int]],
        names: int,
        tokens: list[int],
        train_sizes: list[int],
        only: list[str],
    ) -> None:
        import torch
        from mmengine.config import Config
        from mmengine.registry import init_default_scope

        import xdet.registry
        from xdet.model_zoo import find_config
        from xdet.models.text import TextCache
        from xdet.structures import Vocabulary

        init_default_scope('xdet')
        torch.set_num_threads(1)
        self.model = xdet.registry.MODELS.build(Config.fromfile(str(find_config(model))).model).eval()
        for name, parameter in self.model.named_parameters():
            if parameter.dim() > 1 or name.endswith('bias'):  # equal in all revisions, whatever they draw and when
                generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                fan_in = parameter[0].numel() if parameter.dim() > 1 else 100
                torch.nn.init.normal_(parameter, std=1 / math.sqrt(fan_in), generator=generator)
        table = self.model.text_encoder.token_embedding.weight
        table.data[-1] = 0  # the end token: captions become as long as they may
        task = self.model.tasks['segmentation']
        task.object_mask_threshold = task.overlap_threshold = 0.0
        torch.manual_seed(0)
        matrix, square = torch.randn(3800, 512), torch.randn(512, 512)
        maps, kernel = torch.randn(1, 512, 48, 64), torch.randn(512, 512, 3, 3)
        vocabulary = Vocabulary(tuple(f'thing {number}' for number in range(names)), (True,) * names)
        few, one = (Vocabulary(vocabulary.names[:count], (True,) * len(vocabulary.names[:count])) for count in (10, 1))
        self._know(vocabulary.names)
        images = {tuple(size): Image(self.model, *size) for size in sizes.values()}
        image, of_phrases, of_caption = (images[tuple(sizes[name])] for name in ('image', 'phrases', 'caption'))

        def phrases(mode: str, image: Image, whole: bool) -> Callable[[], Any]:
            task, ask = self.model.tasks['referring'], image.asked('refseg', whole, phrases=PHRASES)

            def run() -> Any:
                before, task.mode = task.mode, mode
                try:
                    return ask()
                finally:
                    task.mode = before

            return run

        segment = dict(vocabulary=vocabulary)
        written = {f'caption of {n} tokens': dict(generation=dict(max_tokens=n)) for n in tokens}
        every: list[tuple[str, str | None, Callable[[], Any]]] = [
            ('matrix product', None, lambda: matrix @ square),
            ('convolution', None, lambda: torch.nn.functional.conv2d(maps, kernel, padding=1)),
            ('backbone', None, image.run_backbone),
            ('pixel decoder', None, image.run_pixel_decoder),
            ('decoder, latent queries', None, image.run_latents),
            ('1 class name in all templates', None, lambda: TextCache(self.model.text_encoder).classes(one)),
            ('10 class names in all templates', None, lambda: TextCache(self.model.text_encoder).classes(few)),
            ('texts of 10 phrases', None, lambda: self.model.text_encoder(list(PHRASES)).pooled),
            (f'panoptic, {names} names', 'panoptic', image.asked('panoptic', **segment)),
            (f'semantic, {names} names', 'semantic', image.asked('semantic', **segment)),
            (f'instance, {names} names', 'instance', image.asked('instance', **segment)),
            ('1 phrase', 'refseg', of_phrases.asked('refseg', phrases=PHRASES[:1])),
            ('10 phrases', 'refseg', phrases('independent', of_phrases, False)),
            ('10 phrases jointly', 'refseg', phrases('joint', of_phrases, False)),
            *((name, 'caption', of_caption.asked('caption', **prompts)) for name, prompts in written.items()),
            ('classification', 'classification', image.asked('classification', vocabulary=few)),
            ('retrieval', 'retrieval', image.asked('retrieval', texts=PHRASES)),
            ('questions', 'vqa', image.asked('vqa', questions=PHRASES[:2])),
            (f'whole panoptic, {names} names', 'panoptic', image.asked('panoptic', True, **segment)),
            ('whole 10 phrases', 'refseg', phrases('independent', of_phrases, True)),
            ('whole 10 phrases jointly', 'refseg', phrases('joint', of_phrases, True)),
            *((f'whole {name}', 'caption', of_caption.asked('caption', True, **of)) for name, of in written.items()),
            (TRAINING, None, self._training(few, train_sizes)),
        ]
        self.runs = {name: run for name, task, run in every if task is None or task in self.model.task_names}
        if 0 in train_sizes:
            self.runs.pop(TRAINING)
        wanted = [*RATES, *only]
        self.runs = {name: run for name, run in self.runs.items() if any(fnmatch(name, one) for one in wanted)}

    def _know(self, names: tuple[str, ...]) -> None:
        """Give class names made-up embeddings, through a file, as users do: 133 names cost the tower a minute."""
        import torch

        from xdet.models.text.embedding_file import EmbeddingFile, templates_fingerprint, write_embeddings

        encoder = self.model.text_encoder
        rows = torch.randn(len(names), encoder.embed_dims, generator=torch.Generator().manual_seed(0))
        about = encoder.fingerprint(), templates_fingerprint()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'names.safetensors')
            table = torch.nn.functional.normalize(rows, dim=1)
            write_embeddings(path, EmbeddingFile(list(names), [True] * len(names), table, *about))
            self.model.texts.load(path)

    def _training(self, vocabulary: Any, sizes: list[int]) -> Callable[[], Any]:
        import torch
        from mmengine.structures import InstanceData

        from xdet.structures import XDetDataSample

        batches = []
        for side in (-(-size // 32) * 32 for size in sizes):
            masks = torch.zeros(6, side, side, dtype=torch.bool)
            for row in range(6):
                masks[row, row * side // 8 :, : (row + 2) * side // 8] = True
            shape = dict(img_shape=(side, side), ori_shape=(side, side), batch_input_shape=(side, side))
            target = XDetDataSample(metainfo=dict(shape, vocabulary=vocabulary))
            if not batches:
                target.gt_segments = InstanceData(masks=masks, labels=torch.arange(6) % len(vocabulary.names))
                target.gt_phrases = InstanceData(masks=masks[:2], texts=list(PHRASES[:2]))
            batches.append((torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(side)), target))
        batches[-1][1].set_metainfo(dict(caption='a red car and an old man'))

        def run() -> Any:
            torch.manual_seed(1)
            torch.nn.Module.train(self.model)  # texts stay remembered, as no weight changes
            every = []
            for image, target in batches:  # as a joint training does: a batch of each source, then one update
                losses = list(self.model.loss(image, [target]).values())
                sum(losses).backward()
                every += [loss.detach() for loss in losses]
            self.model.zero_grad(set_to_none=True)
            torch.nn.Module.eval(self.model)
            return torch.stack(every)

        return run

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
        """Its operations in 1e9, those of convolutions apart; in a run after the first one texts are remembered."""
        from xdet.analysis.flops import countable, operation_counter

        with operation_counter() as counter, nullcontext() if name == TRAINING else countable():
            self.runs[name]()
        counts = {str(operation): number for operation, number in counter.get_flop_counts()['Global'].items()}
        convolutions = sum(number for operation, number in counts.items() if 'conv' in operation)
        return dict(gflop=sum(counts.values()) / 1e9, convolutions=convolutions / 1e9)

    def result(self, name: str, path: str) -> tuple[float, float]:
        """Write the numbers of its result; returns the MiB that it needed beside what was there, if Linux tells, and
        its processor time in seconds, which counts if no later run is quicker.
        """
        import torch

        with memory() as peak:
            start = time.process_time()
            result = self.run(name)
            seconds = time.process_time() - start
        torch.save([part.contiguous() for part in _tensors(result)], path)
        return peak[0], seconds


class Image:
    """Made-up pixels, and what the model made of them.

    Args:
        model (XDecoder): The model.
        height (int): Height of the image; it is padded to a multiple of 32.
        width (int): Likewise.
    """

    def __init__(self, model: Any, height: int, width: int) -> None:
        import torch

        self.model, self.shape = model, (height, width)
        self.padded = -(-height // 32) * 32, -(-width // 32) * 32
        self.pixels = torch.randn(3, *self.padded, generator=torch.Generator().manual_seed(0))
        self.maps: Any = None
        self.features: Any = None
        self.latents: Any = None

    def run_backbone(self) -> Any:
        """Its last map."""
        self.maps = tuple(self.model.backbone(self.pixels[None]))
        return self.maps[-1]

    def run_pixel_decoder(self) -> Any:
        """The mask features."""
        from xdet.structures import ImageFeatures

        if self.maps is None:
            self.run_backbone()
        mask_features, memory = self.model.pixel_decoder(self.maps)
        self.features = ImageFeatures(self.maps, mask_features, tuple(memory))
        return mask_features

    def run_latents(self) -> Any:
        """The decoder's last prediction."""
        if self.features is None:
            self.run_pixel_decoder()
        self.latents = self.model.latent_pass(self.features)
        return self.latents.outputs.last

    def asked(self, task: str, whole: bool = False, **prompts: Any) -> Callable[[], Any]:
        """A run of a task, from the pixels if ``whole``; it returns the sample."""
        from xdet.structures import TextPrompts, XDetDataSample

        def run() -> Any:
            meta = dict(img_shape=self.shape, ori_shape=self.shape, batch_input_shape=self.padded)
            sample, prompt = XDetDataSample(metainfo=meta), TextPrompts(tasks=(task,), **prompts)
            if whole:
                prompt.apply(sample, 'image')
                self.model.predict([self.pixels], [sample])
                return sample
            if self.latents is None:
                self.run_latents()
            self.model.predict_features(self.features, [sample], self.latents, [prompt])
            return sample

        return run


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
        results = []
        for number, (who, worker) in enumerate(workers.items()):
            row[f'MiB {who}'], row[who] = worker.ask('result', name, str(folder / f'{number}.pt'))
            results.append(torch.load(folder / f'{number}.pt', weights_only=True))
        if len(workers) > 1:
            row['difference'] = difference(*results)
        row.update(here.ask('operations', name))
    for repeat in range(repeats):
        for name, row in rows.items():
            for who, worker in list(workers.items())[:: 1 if repeat % 2 else -1]:
                row[who] = min(row[who], worker.ask('time', name))
    rates = [rows[name]['gflop'] / rows[name][HERE] for name in RATES]
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
    parser.add_argument('--phrase-size', help='of the image of phrases (default: --size)')
    parser.add_argument('--caption-size', help='of the image of captions (default: --size)')
    parser.add_argument('--names', type=int, default=133, help='class names of segmentation')
    parser.add_argument('--tokens', type=int, nargs='+', default=[12], help='of captions')
    parser.add_argument(
        '--train-size',
        type=int,
        nargs='+',
        default=[256],
        help='side of the training image; a second one is of an image with a caption alone; 0: no training',
    )
    parser.add_argument('--only', nargs='+', default=['*'], help="patterns of stages, such as 'whole*'")
    parser.add_argument('--repeats', type=int, default=3, help='the best of so many runs, and of the first, counts')
    parser.add_argument('--out', help='JSON file')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.worker:
        work(json.loads(args.worker))
        return
    given = {'image': args.size, 'phrases': args.phrase_size or args.size, 'caption': args.caption_size or args.size}
    sizes = {}
    for name, size in given.items():
        sides = size.split('x')
        if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
            parser.error(f'the size {size} is no height x width, such as 800x1201')
        sizes[name] = [int(side) for side in sides]
    settings = dict(model=args.model, sizes=sizes, names=args.names, tokens=args.tokens, only=args.only)
    settings['train_sizes'] = args.train_size
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
