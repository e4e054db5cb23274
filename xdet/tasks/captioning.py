"""Captions of images and of regions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models.context import TaskContext
from xdet.models.decoder import IMAGE, OBJECT, QueryStream, resize_regions
from xdet.models.numerics.precision import in_precision, named_precision
from xdet.models.text import decode
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, LayerPrediction, QueryGroup, XDetDataSample, described_masks

from .base import TaskAdapter, describe, input_size
from .generation import GenerationSettings, Hypothesis, generate

CAPTION = 'caption'
_EXACT_LOGITS = 64  # how many of the most probable tokens have exact logits, where the others have not


@TASKS.register_module()
class CaptioningTask(TaskAdapter):
    """Captioning and referring captioning (paper section 3.3, docs/model.md, 7).

    A caption token sees the latent queries and the tokens before it, attends all pixels (of its region), and predicts
    the next token by comparison with the text encoder's token table. Only new tokens are computed: the latent queries
    run once, keys and values of earlier tokens are kept in the decoder and in the text encoder, and generation ends
    with the end token. The official model repeats everything 50 times.

    Args:
        embed_dims (int): Width C of the decoder.
        text_width (int): Width of the token table.
        context_length (int): Most tokens of a caption, start and end token included.
        generation (dict, optional): Defaults of :class:`~xdet.tasks.generation.GenerationSettings`.
        first_sentence (bool): Cut captions at their first full stop, as the official model does.
        regions_per_pass (int): Regions of an image that are described side by side; bounds memory, not results.
        loss (dict, optional): Config of the criterion; None for a model that is only used, not trained.
        stream_precision (str): ``'bfloat16'`` writes with weights, keys and values in half precision: for many texts
            side by side several times as fast on CPUs that have instructions for it, and now and then another word.
            ``'single'``: in the precision of the model.
    """

    names = ('caption', 'refcaption')
    reads_predictions = True  # the masks of phrases
    joins_sizes = True

    def __init__(
        self,
        embed_dims: int = 512,
        text_width: int = 512,
        context_length: int = 77,
        generation: Mapping[str, Any] | None = None,
        first_sentence: bool = True,
        regions_per_pass: int = 16,
        loss: dict | None = None,
        stream_precision: str = 'single',
    ) -> None:
        super().__init__()
        if regions_per_pass < 1:
            raise ValueError(f'CaptioningTask: regions_per_pass is {regions_per_pass}; accepted are numbers from 1')
        self.token_proj = nn.Parameter(torch.empty(embed_dims, text_width))
        self.position_embed = nn.Embedding(context_length, embed_dims)
        nn.init.trunc_normal_(self.token_proj, std=0.02)
        nn.init.trunc_normal_(self.position_embed.weight, std=0.02)
        self.generation = GenerationSettings().override(generation or {})
        self.first_sentence = first_sentence
        self.regions_per_pass = regions_per_pass
        self.stream_precision = named_precision('CaptioningTask: stream_precision', stream_precision)
        self.criterion = MODELS.build(loss) if loss is not None else None

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has a ``caption`` (which may be empty) or ``gt_regions``, and the adapter a criterion."""
        return bool(self.kinds(sample))

    def kinds(self, sample: XDetDataSample) -> tuple[str, ...]:
        """``captions``, ``regions`` or both."""
        there = dict(captions='caption' in sample.metainfo, regions='gt_regions' in sample)
        return tuple(kind for kind in there if there[kind]) if self.criterion is not None else ()

    def training_texts(self, context: TaskContext) -> list[str]:
        """Captions, those of regions, and the empty text."""
        return [text for texts in _texts(context).values() for text in texts]

    def queries(self, context: TaskContext) -> list[QueryGroup]:
        """Captions of images and of their regions, each token seeing those before it.

        A group holds one text per image: the caption, that of the first region, of the second, ... Where an image has
        none, the text is empty.
        """
        groups = []
        regions = _regions(context)
        for name, texts in _texts(context).items():
            groups.append(self.token_queries(name, context.encode(texts).tokens, regions.get(name)))
        return groups

    def token_queries(self, name: str, tokens: Tensor, region: Tensor | None = None) -> QueryGroup:
        """A text per image as queries, of which each sees those before it.

        Args:
            name (str): Of the group.
            tokens (Tensor): ``[B, L, C]`` features of the tokens.
            region (Tensor, optional): Bool ``[B, H, W]``, what the texts are about.
        """
        position = tokens + self.position_embed.weight[: tokens.shape[1]]
        sees = frozenset({OBJECT, IMAGE, name})
        # Gradients reach the text encoder through the position only, as published.
        return QueryGroup(name, tokens.detach(), position, sees, causal=True, image_attention='all', region=region)

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Next-token losses ``loss_captioning`` and, of regions, ``loss_region_captioning``; see the criterion."""
        texts = _texts(context)
        names = [name for name in texts if name != CAPTION]
        losses = self._next_token_loss(context, outputs, {CAPTION: texts[CAPTION]}) if CAPTION in texts else {}
        if names:
            regions = self._next_token_loss(context, outputs, {name: texts[name] for name in names})
            losses.update({name.replace('captioning', 'region_captioning'): loss for name, loss in regions.items()})
        return losses

    def _next_token_loss(
        self, context: TaskContext, outputs: DecoderOutput, groups: Mapping[str, list[str]]
    ) -> dict[str, Tensor]:
        """The criterion over all texts of some query groups."""
        assert self.criterion is not None
        texts = [text for group in groups.values() for text in group]
        ids = context.text.tokenize(texts).to(outputs.mask_features.device)
        given = torch.tensor([bool(text) for text in texts], device=ids.device)
        valid = context.encode(texts).valid & given[:, None]

        def embeds(layer: LayerPrediction) -> Tensor:
            """``[G * B, L, C]``; groups are of different lengths."""
            states = [layer.rows(layer.state, name) for name in groups]
            states = [F.pad(state, (0, 0, 0, ids.shape[1] - state.shape[1])) for state in states]
            return torch.cat(states) @ self.token_proj

        layers = [embeds(layer) for layer in outputs.layers]
        return self.criterion(layers, context.text.token_embedding.weight, ids, valid)

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_captions`` and ``pred_region_captions`` as each sample asks.

        Samples with equal generation settings are written together.

        Raises:
            ValueError: Impossible settings, or a caption of a region without region.
        """
        self.predict_joined([context])

    @torch.no_grad()
    def predict_joined(self, contexts: Sequence[TaskContext]) -> None:
        """The same for images of several sizes: their captions are written side by side."""
        groups: dict[tuple[str, GenerationSettings], list[list[int]]] = defaultdict(lambda: [[] for _ in contexts])
        for number, context in enumerate(contexts):
            for row, sample in enumerate(context.samples):
                asked = sample.prompts
                settings = self.generation.override(asked.generation)
                if settings.max_tokens >= self.position_embed.num_embeddings:
                    longest = self.position_embed.num_embeddings - 1
                    raise ValueError(f'max_tokens is {settings.max_tokens}; this model writes up to {longest} tokens')
                for name in self.requested(asked):
                    groups[name, settings][number].append(row)
            context.latent_pass.prepare_streams()
        for (name, settings), rows in groups.items():
            parts = [context.select(own) for context, own in zip(contexts, rows, strict=True) if own]
            if name == 'caption':
                samples = [sample for part in parts for sample in part.samples]
                for sample, texts in zip(samples, self._write(parts, settings), strict=True):
                    sample.pred_captions = self._results(texts)
            else:
                for part in parts:
                    self._caption_regions(part, settings)

    def _caption_regions(self, context: TaskContext, settings: GenerationSettings) -> None:
        regions = [regions_of(sample) for sample in context.samples]
        for sample in context.samples:
            sample.pred_region_captions = []
        for start in range(0, max(map(len, regions)), self.regions_per_pass):
            chunk = [own[start : start + self.regions_per_pass] for own in regions]
            rows = [row for row, own in enumerate(chunk) if len(own)]
            self._caption_chunk(context.select(rows), settings, [chunk[row] for row in rows])

    def _caption_chunk(self, context: TaskContext, settings: GenerationSettings, regions: Sequence[Tensor]) -> None:
        """Append the captions of regions ``[n, H, W]``, at least one per image."""
        most = max(map(len, regions))
        size = input_size(context.features)
        pairs = zip(regions, context.samples, strict=True)
        texts = self._write([context], settings, torch.stack([_in_input(*pair, size, most) for pair in pairs]))
        for index, (sample, own) in enumerate(zip(context.samples, regions, strict=True)):
            found = texts[index * most : index * most + len(own)]
            sample.pred_region_captions = [*sample.pred_region_captions, *map(self._results, found)]

    def _write(
        self, contexts: Sequence[TaskContext], settings: GenerationSettings, regions: Tensor | None = None
    ) -> list[list[Hypothesis]]:
        """Texts of every image, or of each of its regions (bool ``[B, n, H, W]`` in padded input resolution)."""
        items = 1 if regions is None else regions.shape[1]
        writer = CaptionWriter(self, contexts, settings, items, regions)
        return generate(writer, writer.images * items, settings, self.token_proj.device)

    def _results(self, texts: Sequence[Hypothesis]) -> list[dict[str, Any]]:
        return [dict(text=self._text(text.ids), score=text.score) for text in texts]

    def _text(self, ids: Sequence[int]) -> str:
        text = decode(ids)
        return text.split('.')[0].strip() if self.first_sentence else text


class CaptionWriter:
    """Next-token logits of captions (see :class:`~xdet.tasks.generation.NextToken`)."""

    def __init__(
        self,
        task: CaptioningTask,
        contexts: Sequence[TaskContext],
        settings: GenerationSettings,
        items: int,
        regions: Tensor | None,
    ) -> None:
        rows = items * settings.rows
        self.images = sum(len(context.samples) for context in contexts)
        self._task = task
        streams = [context.latent_pass.stream(settings.max_tokens, rows, regions) for context in contexts]
        self._queries = QueryStream.joined(streams)
        text = contexts[0].text
        self._table = self._quick_table = text.token_embedding.weight
        if task.stream_precision is not None:
            self._queries.to(task.stream_precision)
            text = in_precision(text, task.stream_precision)
            self._quick_table = text.token_embedding.weight
        self._text = text.stream(self.images * rows, settings.max_tokens)
        self._place = 0

    def step(self, ids: Tensor) -> Tensor:
        tokens = self._text.step(ids[:, None])
        place = self._task.position_embed.weight[self._place].to(tokens.dtype)
        state = self._queries.step(tokens, tokens + place)
        self._place += 1
        embed = state[:, 0].to(self._task.token_proj.dtype) @ self._task.token_proj
        if self._quick_table is self._table:
            return embed @ self._table.T
        logits = (embed.to(self._quick_table.dtype) @ self._quick_table.T).to(embed.dtype)
        best = logits.topk(min(_EXACT_LOGITS, logits.shape[1])).indices
        return logits.scatter(1, best, (self._table[best] @ embed[..., None])[..., 0])

    def reorder(self, rows: Tensor) -> None:
        self._text.reorder(rows)
        self._queries.reorder(rows)


def regions_of(sample: XDetDataSample) -> Tensor:
    """Regions to describe, bool ``[n, H, W]`` in original size: given ones, else those found for phrases.

    Raises:
        ValueError: There are none, or they have another size than the image.
    """
    if sample.prompts.regions is None and 'pred_phrases' not in sample:
        raise ValueError(f'{describe(sample)} has no regions to describe; give masks, boxes or phrases')
    masks = described_masks(sample)
    if tuple(masks.shape[-2:]) != tuple(sample.ori_shape[:2]):
        raise ValueError(
            f'{describe(sample)}: regions are {tuple(masks.shape[-2:])} pixels but the image '
            f'{tuple(sample.ori_shape[:2])} (height, width)'
        )
    return masks


def _in_input(regions: Tensor, sample: XDetDataSample, size: tuple[int, int], count: int) -> Tensor:
    """Regions in the padded input ``size``, bool ``[count, H, W]``, filled up with empty ones."""
    height, width = sample.img_shape[:2]
    result = regions.new_zeros((count, *size), dtype=torch.bool)
    result[: len(regions), :height, :width] = resize_regions(regions[None], (height, width))[0]
    return result


def _texts(context: TaskContext) -> dict[str, list[str]]:
    """By group name, a text per image that is to be learned: captions, then those of first regions, second ones, ..."""
    groups: dict[str, list[str]] = {}
    if any('caption' in sample.metainfo for sample in context.samples):
        groups[CAPTION] = [sample.metainfo.get('caption') or '' for sample in context.samples]
    own = [sample.gt_regions.texts if 'gt_regions' in sample else () for sample in context.samples]
    for number in range(max(map(len, own))):
        groups[f'region{number}'] = [texts[number] if number < len(texts) else '' for texts in own]
    return groups


def _regions(context: TaskContext) -> dict[str, Tensor]:
    """By group name, the regions ``[B, H, W]`` that these texts are about."""
    own = {row: sample.gt_regions.masks for row, sample in enumerate(context.samples) if 'gt_regions' in sample}
    shape = (len(context.samples), *input_size(context.features))
    groups = {}
    for number in range(max(map(len, own.values()), default=0)):
        region = torch.zeros(shape, dtype=torch.bool, device=context.features.mask_features.device)
        for row, masks in own.items():
            if number < len(masks):
                height, width = masks.shape[-2:]
                region[row, :height, :width] = masks[number]
        groups[f'region{number}'] = region
    return groups
