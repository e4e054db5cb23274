"""The stages of a model, for :mod:`stages`: runs, times and counts them; of the revision that is on the path."""

from __future__ import annotations

import math
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from fnmatch import fnmatch
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from process_memory import peak_memory

from xdet.model_zoo import find_config
from xdet.models.text import TextCache
from xdet.models.text.embedding_file import EmbeddingFile, templates_fingerprint, write_embeddings
from xdet.registry import MODELS
from xdet.structures import ImageFeatures, TextPrompts, Vocabulary, XDetDataSample

PHRASES = tuple(f'the {what} on the {side}' for what in ('red car', 'old man', 'dog', 'tree', 'cup') for side in 'ab')
TRAINING = 'training step'


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
        init_default_scope('xdet')
        torch.set_num_threads(1)
        self.model = MODELS.build(Config.fromfile(str(find_config(model))).model).eval()
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
        self.runs = {name: run for name, run in self.runs.items() if any(fnmatch(name, one) for one in only)}

    def _know(self, names: tuple[str, ...]) -> None:
        """Give class names made-up embeddings, through a file, as users do: 133 names cost the tower a minute."""
        encoder = self.model.text_encoder
        rows = torch.randn(len(names), encoder.embed_dims, generator=torch.Generator().manual_seed(0))
        about = encoder.fingerprint(), templates_fingerprint()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'names.safetensors')
            table = torch.nn.functional.normalize(rows, dim=1)
            write_embeddings(path, EmbeddingFile(list(names), [True] * len(names), table, *about))
            self.model.texts.load(path)

    def _training(self, vocabulary: Any, sizes: list[int]) -> Callable[[], Any]:
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
        with nullcontext() if name == TRAINING else torch.no_grad():
            return self.runs[name]()

    def time(self, name: str) -> float:
        """Its processor time in seconds."""
        start = time.process_time()
        self.run(name)
        return time.process_time() - start

    def operations(self, name: str) -> dict[str, float]:
        """Its operations in 1e9, those of convolutions apart; in a run after the first one texts are remembered."""
        from xdet.analysis.flops import countable, operation_counter  # older revisions, never asked, lack it

        with operation_counter() as counter, nullcontext() if name == TRAINING else countable():
            self.runs[name]()
        counts = {str(operation): number for operation, number in counter.get_flop_counts()['Global'].items()}
        convolutions = sum(number for operation, number in counts.items() if 'conv' in operation)
        return dict(gflop=sum(counts.values()) / 1e9, convolutions=convolutions / 1e9)

    def result(self, name: str, path: str) -> tuple[float, float]:
        """Write the numbers of its result; returns the MiB that it needed beside what was there, if Linux tells, and
        its processor time in seconds, which counts if no later run is quicker.
        """
        with peak_memory() as peak:
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


def _tensors(value: Any) -> list[Any]:
    """All tensors of a result, in order."""
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
