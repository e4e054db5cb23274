"""The graphs that a model is exported as: modules of tensors only, with every size left open.

What is asked is an input of a graph, never a part of it: class names come as text embeddings ``[K, C]`` with their
``is_thing`` flags, phrases as tokens. One image at a time; sizes are multiples of 32. Where an image is resized, the
graph takes a matrix per axis (:func:`xdet.runtime.resizing.resizing_matrix`), as no exporter writes the anti-aliased
kernel right. ``docs/export.md`` lists the inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from xdet.models import XDecoder
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.pixel_names import PixelNames
from xdet.models.postprocess import mask_scores
from xdet.models.similarity import cosine_logits, cosines, normalize
from xdet.structures import BACKGROUND, ImageFeatures, KeysValues, QueryGroup, Vocabulary
from xdet.tasks import (
    CaptioningTask,
    ClassificationTask,
    InteractiveTask,
    ReferringTask,
    RetrievalTask,
    SegmentationTask,
    VQATask,
)


@dataclass(frozen=True)
class Graph:
    """A module to export.

    Attributes:
        name (str): Of the file, without its ending.
        module (nn.Module): What it computes.
        inputs (dict[str, Tensor]): Example inputs by name, in order.
        sizes (dict[str, dict[int, Any]]): By input, the axes whose size is open.
        outputs (tuple[str, ...]): Names of the results.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    sizes: dict[str, dict[int, Any]]
    outputs: tuple[str, ...]


class ImageEncoder(nn.Module):
    """Backbone and pixel decoder: normalised, padded image ``[1, 3, H, W]`` to features and the backbone's mean."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.backbone, self.pixel_decoder = model.backbone, model.pixel_decoder
        self.pixel_names = _pixel_names(model)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The image to ``mask_features``, memory of strides 32, 16 and 8, and ``[1, C]``; where pixels have a say in
        names, also maps ``[1, C, h, w]`` of their directions."""
        maps = tuple(self.backbone(image))
        mask_features, memory = self.pixel_decoder(maps)
        found = [mask_features, *memory, maps[-1].mean(dim=(-2, -1))]
        if self.pixel_names is not None:
            features = ImageFeatures(maps, mask_features, tuple(memory))
            for name in self.pixel_names.heard:
                embeddings, size = self.pixel_names.embed(name, features)
                found.append(normalize(embeddings).transpose(1, 2).unflatten(2, size))
        return tuple(found)


class TextEncoder(nn.Module):
    """The text tower: token ids ``[n, L]`` to features ``[n, L, C]`` and those of the end tokens ``[n, C]``."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.encoder = model.text_encoder

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids to ``tokens`` and ``pooled``, not normalised; after an end token ``tokens`` mean nothing."""
        tokens, _ = self.step(ids, None)
        ends = ids.argmax(dim=1)
        return tokens, tokens.gather(1, ends[:, None, None].expand(-1, 1, tokens.shape[2]))[:, 0]

    def step(self, ids: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features of the tokens ``ids`` ``[n, L]`` after those of ``past`` ``[layers, 2, n, heads, P, d]``, which is
        returned with the new ones in it."""
        start = past.shape[4] if past is not None else 0
        length = ids.shape[1]
        x = self.encoder.token_embedding(ids) + self.encoder.positional_embedding[start : start + length]
        mask = _causal(length, start, x.device)
        present = []
        for number, block in enumerate(self.encoder.transformer.resblocks):
            attention = block.attn
            new = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
            query, *keys = new.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind()
            if past is not None:
                keys = [torch.cat((before, own), dim=2) for before, own in zip(past[number], keys, strict=True)]
            attended = F.scaled_dot_product_attention(query, keys[0], keys[1], attn_mask=mask)
            x = x + block.ls_1(attention.out_proj(attended.transpose(1, 2).flatten(2)))
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
            present.append(torch.stack(keys))
        return self.encoder.project(x), torch.stack(present)


class Decoder(nn.Module):
    """The decoder's pass over the latent queries, which depends on the image alone."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.decoder = model.decoder
        self.pixel_names = _pixel_names(model)

    def forward(
        self,
        mask_features: Tensor,
        memory_32: Tensor,
        memory_16: Tensor,
        memory_8: Tensor,
        pixels: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, ...]:
        """Features to ``class_embed`` and ``mask_embed`` ``[N, C]`` of the object queries and, last, the image query,
        and ``latent_keys`` ``[layers, 2, heads, N, d]`` for :class:`CaptionStep` and :class:`Answers`. Where pixels
        have a say in names, also ``pixel_embed`` ``[N, C]``, the mean direction of the pixels of every query."""
        features = ImageFeatures((), mask_features, (memory_32, memory_16, memory_8))
        outputs = self.decoder(features, self.decoder.latent_queries(1))
        layer = outputs.last
        keys = torch.stack([torch.stack((layer.keys[0], layer.values[0])) for layer in outputs.keys])
        class_embed, mask_embed = (layer.rows(part, OBJECT, IMAGE)[0] for part in (layer.class_embed, layer.mask_embed))
        if self.pixel_names is None:
            return class_embed, mask_embed, keys
        return class_embed, mask_embed, keys, self._pixels(mask_features[0], mask_embed, pixels)

    def _pixels(self, mask_features: Tensor, mask_embed: Tensor, pixels: tuple[Tensor, ...]) -> Tensor:
        """What :class:`~xdet.models.pixel_names.PixelNames` compares with names, before it does: that is linear."""
        assert self.pixel_names is not None
        masks = (mask_embed @ mask_features.flatten(1)).sigmoid().unflatten(1, mask_features.shape[1:])
        total = mask_embed.new_zeros(())
        for name, directions in zip(self.pixel_names.heard, pixels, strict=True):
            inside = F.avg_pool2d(masks, _factor(name)).flatten(1)
            inside = torch.where(inside > 0.5, inside, 1e-4 * inside)
            inside = inside / inside.sum(1, keepdim=True).clamp(min=1e-12)
            total = total + inside @ directions[0].flatten(1).T / len(pixels)
        return total


def _factor(name: str) -> int:
    """By how much a map of features is smaller than the mask features."""
    kind, level = name.split('_')
    return 1 << int(level) if kind == 'backbone' else 8 >> int(level)


def _pixel_names(model: XDecoder) -> PixelNames | None:
    """Of a model whose pixels have a say in the names of queries."""
    for task in model.tasks.values():
        own = getattr(task, 'pixel_names', None)
        if own is not None and own.share:
            return own
    return None


class _WithVocabulary(nn.Module):
    """Compares queries with class names and the background, whose embedding stands in the graph."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.background: Tensor
        self.logit_scale = model.text_encoder.logit_scale
        self.register_buffer('background', model.vocabulary(Vocabulary((BACKGROUND,), (True,)))[-1:].clone())
        names = _pixel_names(model)
        self.share = 0.0 if names is None else names.share

    def probabilities(self, class_embed: Tensor, text: Tensor, pixel_embed: Tensor | None) -> Tensor:
        """Of every query, over the K names and, last, no object: ``[N, K + 1]``."""
        logits = cosine_logits(class_embed, torch.cat((text, self.background)), self.logit_scale)
        if pixel_embed is not None:
            said = (self.logit_scale.exp() * (pixel_embed @ text.T)).log_softmax(dim=-1)
            own, there = logits[:, :-1].log_softmax(dim=-1), logits[:, :-1].logsumexp(dim=-1, keepdim=True)
            mixed = ((1 - self.share) * own + self.share * said).log_softmax(dim=-1) + there
            logits = torch.cat((mixed, logits[:, -1:]), dim=1)
        return logits.softmax(dim=-1)


class Semantic(_WithVocabulary):
    """Semantic segmentation: the most probable class of every pixel."""

    def forward(
        self,
        class_embed: Tensor,
        mask_embed: Tensor,
        mask_features: Tensor,
        text: Tensor,
        rows: Tensor,
        columns: Tensor,
        pixel_embed: Tensor | None = None,
    ) -> Tensor:
        """``labels`` int32 ``[H, W]`` for ``rows`` ``[H, h]`` and ``columns`` ``[W, w]``. A part of the rows gives
        that part of the result, so that memory can be bounded."""
        masks = _mask_logits(mask_embed, mask_features, rows, columns).sigmoid()
        probabilities = self.probabilities(class_embed, text, pixel_embed)[:, :-1]
        scores = (probabilities.T @ masks.flatten(1)).unflatten(1, masks.shape[1:])
        return scores.argmax(dim=0).int()


class Instance(_WithVocabulary):
    """Instance segmentation: the most probable pairs of a query and a class."""

    def __init__(self, model: XDecoder, task: SegmentationTask) -> None:
        super().__init__(model)
        self.most, self.things_only = task.max_per_image, task.things_only

    def forward(
        self,
        class_embed: Tensor,
        mask_embed: Tensor,
        mask_features: Tensor,
        text: Tensor,
        is_thing: Tensor,
        rows: Tensor,
        columns: Tensor,
        pixel_embed: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Of m pairs, best first: ``labels``, ``scores``, ``queries`` (rows of the other two), and of the q queries
        that occur: ``masks`` bool ``[q, H, W]`` and ``boxes`` ``[q, 4]``."""
        probabilities = self.probabilities(class_embed, text, pixel_embed)[:, :-1]
        number = probabilities.shape[1]
        # Fewer pairs than wanted are filled up with ones that do not count.
        filled = F.pad(probabilities.flatten(), (0, self.most), value=-1.0)
        scores, pairs = filled.topk(self.most)
        counts = scores >= 0
        pairs = torch.where(counts, pairs, 0)
        queries = pairs // torch.full_like(pairs, number)
        labels = pairs - number * queries
        if self.things_only:
            counts = counts & is_thing[labels]
        kept = counts.nonzero()[:, 0]
        scores, labels, queries = scores[kept], labels[kept], queries[kept]
        one_hot = queries[:, None] == torch.arange(len(class_embed), device=queries.device)
        needed = one_hot.any(dim=0).nonzero()[:, 0]
        which = (one_hot.any(dim=0).long().cumsum(dim=0) - 1)[queries]
        logits = _mask_logits(mask_embed[needed], mask_features, rows, columns)
        masks = logits > 0
        scores = scores * mask_scores(logits, masks)[which]
        scores, order = scores.sort(descending=True)  # ONNX keeps the order of equal ones
        return labels[order], scores, which[order], masks, _boxes(masks)


class Panoptic(_WithVocabulary):
    """Panoptic segmentation: confident queries share the pixels, without a loop over them."""

    def __init__(self, model: XDecoder, task: SegmentationTask) -> None:
        super().__init__(model)
        self.threshold, self.overlap = task.object_mask_threshold, task.overlap_threshold

    def forward(
        self,
        class_embed: Tensor,
        mask_embed: Tensor,
        mask_features: Tensor,
        text: Tensor,
        is_thing: Tensor,
        rows: Tensor,
        columns: Tensor,
        pixel_embed: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """``segments`` int32 ``[H, W]`` (0 = void), and of the n segments, in the order of their ids from 1:
        ``labels`` and ``scores``."""
        scores, labels = self.probabilities(class_embed, text, pixel_embed).max(dim=-1)
        found = (labels != text.shape[0]) & (scores > self.threshold)
        # One query always takes part, so that no tensor is empty; it counts only if it was found.
        part = found | (torch.arange(len(scores), device=scores.device) == 0)
        keep = part.nonzero()[:, 0]
        scores, labels, found = scores[keep], labels[keep], found[keep]
        weights = torch.where(found, scores, -1.0)
        probabilities = _mask_logits(mask_embed[keep], mask_features, rows, columns).sigmoid()
        inside = probabilities >= 0.5
        owner = (probabilities * weights[:, None, None]).argmax(dim=0)
        owned_inside = inside.gather(0, owner[None])[0]
        own_area, owners = inside.flatten(1).sum(dim=1), owner.flatten()
        none = torch.zeros_like(own_area)
        owned_area = none.scatter_add(0, owners, torch.ones_like(owners))
        kept_area = none.scatter_add(0, owners, owned_inside.flatten().long())
        share = owned_area.double() / own_area.double()
        valid = found & (own_area > 0) & (owned_area > 0) & (kept_area > 0) & (share >= self.overlap)
        thing = torch.cat((is_thing, is_thing.new_ones(1)))[labels]
        # Queries of one stuff class are one segment, that of the first of them.
        index = torch.arange(keep.shape[0], device=owner.device)
        same = (labels[:, None] == labels[None]) & ~thing[:, None] & valid[None]
        leader = torch.where(thing, index, same.long().argmax(dim=1))
        founds = valid & (leader == index)
        ids = torch.where(valid, founds.long().cumsum(dim=0)[leader], 0).int()
        segments = torch.where(owned_inside, ids[owner], 0)
        chosen = founds.nonzero()[:, 0]
        return segments, labels[chosen], scores[chosen]


class Phrases(nn.Module):
    """Referring segmentation: sets of phrases, which do not see each other; those of one set do."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.decoder = model.decoder

    def forward(
        self,
        mask_features: Tensor,
        memory_32: Tensor,
        memory_16: Tensor,
        memory_8: Tensor,
        tokens: Tensor,
        valid: Tensor,
        pooled: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> tuple[Tensor, ...]:
        """Tokens ``[S, L, C]`` of the phrases of S sets, which of them are none (``valid``), and the phrases' features
        ``[S, T, C]``, to ``masks`` bool ``[S, T, H, W]``, ``scores``, ``similarities`` and ``boxes``."""
        features = ImageFeatures((), mask_features, (memory_32, memory_16, memory_8))
        sees = frozenset({'phrase', 'text'})
        queries = self.decoder.object_copies(tokens.shape[0], 'phrase', sees)
        text = QueryGroup('text', tokens, tokens, sees, image_attention='no', valid=valid)
        layer = self.decoder(features, [queries, text]).last
        class_embed, mask_embed = (layer.rows(part, 'phrase') for part in (layer.class_embed, layer.mask_embed))
        found = cosines(class_embed.flatten(0, 1), pooled.flatten(0, 1))
        # [S, N, S, T]: of every set, its own phrases only.
        found = found.unflatten(0, class_embed.shape[:2]).unflatten(2, pooled.shape[:2])
        found = found.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        similarities, best = found.max(dim=1)
        chosen = mask_embed.gather(1, best[..., None].expand(-1, -1, mask_embed.shape[2]))
        logits = _mask_logits(chosen.flatten(0, 1), mask_features, rows, columns)
        masks = logits > 0
        results = masks, mask_scores(logits, masks), _boxes(masks)
        masks, scores, boxes = (result.unflatten(0, tokens.shape[:1] + pooled.shape[1:2]) for result in results)
        return masks, scores, similarities, boxes


class ImageKeys(nn.Module):
    """Keys and values of the image in every decoder layer, for :class:`CaptionStep` and :class:`Answers`."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.decoder = model.decoder

    def forward(
        self, mask_features: Tensor, memory_32: Tensor, memory_16: Tensor, memory_8: Tensor
    ) -> tuple[Tensor, ...]:
        """Features to ``image_keys_0`` ... ``[2, heads, h * w, d]``."""
        features = ImageFeatures((), mask_features, (memory_32, memory_16, memory_8))
        return tuple(torch.cat(layer) for layer in self.decoder.image_keys(features))


class _Stream(nn.Module):
    """Queries that see the latent queries, their own past and the pixels of their region."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.decoder = model.decoder

    def stream(
        self,
        content: Tensor,
        position: Tensor,
        latent_keys: Tensor,
        past: Tensor | None,
        image_keys: tuple[Tensor, ...],
        visible: tuple[Tensor, ...] | None,
    ) -> tuple[Tensor, Tensor]:
        """States ``[R, n, C]``, and keys and values ``[layers, 2, R, heads, P + n, d]`` of the rows themselves."""
        rows, length = content.shape[:2]
        before = past.shape[4] if past is not None else 0
        mask = _causal(length, latent_keys.shape[3] + before, content.device)
        x, present = content, []
        for number, layer in enumerate(self.decoder.layers):
            seen = visible[number % len(visible)][:, None, None] if visible is not None else None
            keys = KeysValues(image_keys[number][:1], image_keys[number][1:])
            x = layer.attend_image(x, position, keys, seen)
            own = list(layer.self_attn.project(x + position, x))
            if past is not None:
                own = [torch.cat((early, new), dim=2) for early, new in zip(past[number], own, strict=True)]
            every = [
                torch.cat((latent[None].expand(rows, -1, -1, -1), new), dim=2)
                for latent, new in zip(latent_keys[number], own, strict=True)
            ]
            x = layer.feed_forward(layer.attend_queries(x, position, KeysValues(*every), mask))
            present.append(torch.stack(own))
        return self.decoder.decoder_norm(x), torch.stack(present)


class CaptionStep(_Stream):
    """The next token of every row: greedy search, beams and sampling are up to the caller."""

    def __init__(self, model: XDecoder, task: CaptioningTask) -> None:
        super().__init__(model)
        self.text, self.task = TextEncoder(model), task

    def forward(
        self,
        ids: Tensor,
        text_past: Tensor,
        past: Tensor,
        latent_keys: Tensor,
        visible: tuple[Tensor, ...],
        image_keys: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """The latest token ``[R, 1]`` of every row to the ``logits`` ``[R, V]`` of the next one, and both kinds of
        keys and values with those of this token. ``visible`` are the pixels ``[R, h * w]`` of every row's region, for
        strides 32, 16 and 8."""
        tokens, text_present = self.text.step(ids, text_past)
        place = text_past.shape[4]
        position = tokens + self.task.position_embed.weight[place : place + 1]
        states, present = self.stream(tokens, position, latent_keys, past, image_keys, visible)
        logits = F.linear(states[:, 0] @ self.task.token_proj, self.text.encoder.token_embedding.weight)
        return logits, text_present, present


class Answers(_Stream):
    """Visual question answering: the probability of every known answer."""

    def __init__(self, model: XDecoder, task: VQATask) -> None:
        super().__init__(model)
        self.task = task

    def forward(self, tokens: Tensor, ends: Tensor, latent_keys: Tensor, image_keys: tuple[Tensor, ...]) -> Tensor:
        """Token features ``[R, n, C]`` of questions and where these end ``[R]``, to ``probabilities`` ``[R, A]``."""
        content = self.task._content(tokens)
        states, _ = self.stream(content, tokens, latent_keys, None, image_keys, None)
        states = states.gather(1, ends[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]
        return self.task.classifier(states).softmax(dim=-1)


class Retrieval(nn.Module):
    """Embeddings of an image and of texts, and how well they fit."""

    def __init__(self, task: RetrievalTask) -> None:
        super().__init__()
        self.task = task

    def forward(self, class_embed: Tensor, image_mean: Tensor, pooled: Tensor) -> tuple[Tensor, ...]:
        """``embedding`` ``[2, C]`` (decoder, backbone), ``texts`` ``[m, C]``, all of unit length, and ``scores``."""
        halves = torch.stack((class_embed[-1], image_mean[0] @ self.task.backbone_proj))
        embedding, texts = _unit(halves), _unit(pooled)
        return embedding, texts, self.task.scores(embedding[None], texts)[0]


class Classification(nn.Module):
    """Classification of a whole image with any names."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.logit_scale = model.text_encoder.logit_scale

    def forward(self, class_embed: Tensor, text: Tensor) -> Tensor:
        """``probabilities`` ``[K]``."""
        return cosine_logits(class_embed[-1], text, self.logit_scale).softmax(dim=-1)


def graphs(model: XDecoder) -> Iterator[Graph]:
    """All graphs of a model, those of its tasks last.

    Raises:
        ValueError: It has a part that the graphs do not have.
    """
    _check(model)
    examples = _Examples(model)
    features = ('mask_features', 'memory_32', 'memory_16', 'memory_8')
    segmenting, sized = ('class_embed', 'mask_embed', 'mask_features', 'text'), ('rows', 'columns')
    names = _pixel_names(model)
    maps = tuple(f'pixels_{name}' for name in names.heard) if names is not None else ()
    pixels = ('pixel_embed',) if names is not None else ()
    yield examples.graph('image_encoder', ImageEncoder(model), ('image',), (*features, 'image_mean', *maps))
    yield examples.graph('text_encoder', TextEncoder(model), ('ids',), ('tokens', 'pooled'))
    made = ('class_embed', 'mask_embed', 'latent_keys', *pixels)
    yield examples.graph('decoder', Decoder(model), (*features, *maps), made)
    keys = examples.image_keys
    tasks = tuple(model.tasks.values())
    if any(isinstance(task, (CaptioningTask, VQATask)) for task in tasks):
        yield examples.graph('image_keys', ImageKeys(model), features, keys)
    for task in tasks:
        if isinstance(task, SegmentationTask):
            yield examples.graph('semantic', Semantic(model), (*segmenting, *sized, *pixels), ('labels',))
            outputs: tuple[str, ...] = ('labels', 'scores', 'queries', 'masks', 'boxes')
            yield examples.graph('instance', Instance(model, task), (*segmenting, 'is_thing', *sized, *pixels), outputs)
            outputs = ('segments', 'labels', 'scores')
            yield examples.graph('panoptic', Panoptic(model, task), (*segmenting, 'is_thing', *sized, *pixels), outputs)
        elif isinstance(task, ReferringTask):
            inputs: tuple[str, ...] = (*features, 'phrase_tokens', 'valid', 'phrase_features', *sized)
            yield examples.graph('phrases', Phrases(model), inputs, ('masks', 'scores', 'similarities', 'boxes'))
        elif isinstance(task, CaptioningTask):
            inputs = ('next_ids', 'text_past', 'past', 'latent_keys', *examples.visible, *keys)
            outputs = ('logits', 'text_present', 'present')
            yield examples.graph('caption_step', CaptionStep(model, task), inputs, outputs)
        elif isinstance(task, VQATask):
            inputs = ('question_tokens', 'ends', 'latent_keys', *keys)
            yield examples.graph('answers', Answers(model, task), inputs, ('probabilities',))
        elif isinstance(task, RetrievalTask):
            inputs = ('class_embed', 'image_mean', 'pooled')
            yield examples.graph('retrieval', Retrieval(task), inputs, ('embedding', 'texts', 'scores'))
        elif isinstance(task, ClassificationTask):
            inputs = ('class_embed', 'text')
            yield examples.graph('classification', Classification(model), inputs, ('probabilities',))
        elif not isinstance(task, InteractiveTask):  # every shipped model has that one, and it is left out
            raise ValueError(f'task {type(task).__name__} has no graph; the tasks of xdet have, but for PoseTask')


def _check(model: XDecoder) -> None:
    """Refuse settings that the graphs would silently lack."""
    if model.decoder.levels != (0, 1, 2):
        raise ValueError(f'a decoder of levels {model.decoder.levels} has no graphs; those of levels 0, 1, 2 have')
    for task in model.tasks.values():
        if getattr(task, 'clip_ensemble', None) is not None:
            raise ValueError('a model with a clip_ensemble has no graphs: set clip_ensemble=None')
        if getattr(task, 'background_score', None) is not None:
            raise ValueError('a model with a background_score has no graphs: their semantic labels are classes')
        if (names := getattr(task, 'pixel_names', None)) is not None and names.joined:
            raise ValueError('a model with joined pixel_names has no graphs; those that mix by share have')


class _Examples:
    """Example inputs of all graphs, with sizes that differ, and which of their axes are open."""

    def __init__(self, model: XDecoder) -> None:
        decoder, text = model.decoder, model.text_encoder
        channels, layers = decoder.query_feat.weight.shape[1], len(decoder.layers)
        heads, queries = decoder.layers[0].self_attn.num_heads, decoder.num_queries
        blocks = text.transformer.resblocks
        text_heads, width = blocks[0].attn.num_heads, text.width
        self.visible = ('visible_32', 'visible_16', 'visible_8')
        self.image_keys = tuple(f'image_keys_{number}' for number in range(layers))
        h, w = Dim('h', min=1, max=4096), Dim('w', min=1, max=4096)
        dims = {name: Dim(name, min=1, max=2**20) for name in ('K', 'H', 'W', 'n', 'S', 'T', 'm', 'R', 'tokens')}
        past = Dim('P', min=0, max=text.context_length - 1)
        height, width_ = 2, 3
        self._inputs: dict[str, Tensor] = {}
        self._sizes: dict[str, dict[int, Any]] = {}

        def add(name: str, shape: tuple[int, ...], sizes: dict[int, Any], kind: torch.dtype = torch.float32) -> None:
            random = torch.Generator().manual_seed(len(self._inputs))
            value = torch.randn(shape, generator=random)
            self._inputs[name] = value.to(kind) if kind.is_floating_point else (value > 0).to(kind)
            self._sizes[name] = sizes

        add('image', (1, 3, 32 * height, 32 * width_), {2: 32 * h, 3: 32 * w})
        add('mask_features', (1, channels, 8 * height, 8 * width_), {2: 8 * h, 3: 8 * w})
        for stride, factor in ((32, 1), (16, 2), (8, 4)):
            open_sizes = {2: h if factor == 1 else factor * h, 3: w if factor == 1 else factor * w}
            add(f'memory_{stride}', (1, channels, factor * height, factor * width_), open_sizes)
        if (names := _pixel_names(model)) is not None:
            for name in names.heard:
                factor = 8 // _factor(name)
                open_sizes = {2: h if factor == 1 else factor * h, 3: w if factor == 1 else factor * w}
                add(f'pixels_{name}', (1, channels, factor * height, factor * width_), open_sizes)
        last = model.tasks.retrieval.backbone_proj.shape[0] if 'retrieval' in model.tasks else 1
        add('image_mean', (1, last), {})
        most = Dim('L', min=1, max=text.context_length)
        add('ids', (5, 7), {0: dims['n'], 1: most}, torch.int64)
        add('class_embed', (queries, channels), {})
        add('mask_embed', (queries, channels), {})
        add('pixel_embed', (queries, channels), {})
        add('text', (4, channels), {0: dims['K']})
        add('is_thing', (4,), {0: dims['K']}, torch.bool)
        add('rows', (41, 8 * height), {0: dims['H'], 1: 8 * h})
        add('columns', (53, 8 * width_), {0: dims['W'], 1: 8 * w})
        add('phrase_tokens', (2, 6, channels), {0: dims['S'], 1: dims['tokens']})
        add('valid', (2, 6), {0: dims['S'], 1: dims['tokens']}, torch.bool)
        add('phrase_features', (2, 3, channels), {0: dims['S'], 1: dims['T']})
        add('pooled', (3, channels), {0: dims['m']})
        add('next_ids', (5, 1), {0: dims['R']}, torch.int64)
        add('text_past', (len(blocks), 2, 5, text_heads, 3, width // text_heads), {2: dims['R'], 4: past})
        add('past', (layers, 2, 5, heads, 3, channels // heads), {2: dims['R'], 4: past})
        add('latent_keys', (layers, 2, heads, queries, channels // heads), {})
        places = [Dim(name, min=1, max=2**24) for name in ('P32', 'P16', 'P8')]
        lengths = [factor**2 * height * width_ for factor in (1, 2, 4)]
        for name, length, place in zip(self.visible, lengths, places, strict=True):
            add(name, (5, length), {0: dims['R'], 1: place}, torch.bool)
        for number, name in enumerate(self.image_keys):
            add(name, (2, heads, lengths[number % 3], channels // heads), {2: places[number % 3]})
        add('question_tokens', (5, 7, channels), {0: dims['R'], 1: most})
        add('ends', (5,), {0: dims['R']}, torch.int64)

    def graph(self, name: str, module: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
        return Graph(
            name,
            module.eval(),
            {key: self._inputs[key] for key in inputs},
            {key: self._sizes[key] for key in inputs},
            outputs,
        )


def _causal(length: int, start: int, device: torch.device) -> Tensor:
    """Query i sees the keys up to ``start + i``: bool ``[length, start + length]``."""
    last = torch.arange(length, device=device)[:, None] + start
    return torch.arange(start + length, device=device) <= last


def _mask_logits(mask_embed: Tensor, mask_features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mask logits ``[n, H, W]``, resized by a matrix per axis."""
    logits = (mask_embed @ mask_features[0].flatten(1)).unflatten(-1, mask_features.shape[2:])
    return rows @ (logits @ columns.T)


def _boxes(masks: Tensor) -> Tensor:
    """As :func:`~xdet.models.postprocess.mask_boxes`, but without asking how many masks there are."""
    sides = []
    for present in (masks.any(dim=1), masks.any(dim=2)):
        first, last = present.int().argmax(dim=1), present.flip(1).int().argmax(dim=1)
        sides.append((first, present.shape[1] - last))
    (x1, x2), (y1, y2) = sides
    return torch.stack((x1, y1, x2, y2), dim=1).float() * masks.flatten(1).any(dim=1)[:, None]


def _unit(embeddings: Tensor) -> Tensor:
    """Rows of unit length; retrieval divides by the plain norm."""
    return embeddings / embeddings.norm(dim=-1, keepdim=True)
