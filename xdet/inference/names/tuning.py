"""Prompt tuning: tokens before a class name or weights of its templates are learned, everything else is as it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, read_annotations
from xdet.datasets.exchange.entries import image_data
from xdet.datasets.files.image_io import ImageReadError, decode_image
from xdet.inference.inputs.images import ImageSource
from xdet.io.reading import expand, listed
from xdet.io.schema import number, shown
from xdet.models import postprocess
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.similarity import cosine_logits, normalize
from xdet.structures import Vocabulary, clean_name

from .examples import save_rows
from .template_weights import TemplateWeights

if TYPE_CHECKING:  # open_clip is slow to import
    from xdet.inference.inferencer import XDecoderInferencer
    from xdet.models.text.text_encoder import CausalTextEncoder

LEAST_IOU = 0.5
"""Overlap from which on a query shows a segment."""
NO_OBJECT_WEIGHT = 0.1
"""Of queries that show none, as in training."""
LEARNED = ('tokens', 'templates')
"""What can be learned of a name."""
IGNORED = -100
"""Label of queries from which nothing is learned."""
_BEGINNING = 'a photo of a'  # what the learned tokens are at first
_RATE = 0.1  # of Adam, times the mean square of the values of the table of tokens


class TuningError(ValueError):
    """Names cannot be tuned with these data; the message is one line for the user."""


@dataclass(frozen=True)
class Seen:
    """What the decoder makes of an image, as far as it concerns names.

    Attributes:
        class_embed (Tensor): ``[n, C]`` of its queries.
        labels (Tensor): int64 ``[n]`` name of the segment that each shows best; the number of names where it
            shows none, :data:`IGNORED` where another shows its segment better.
    """

    class_embed: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Tuned:
    """Names whose embeddings were learned.

    Attributes:
        rows (dict[str, Tensor]): Unit vectors ``[C]`` by name.
        segments (dict[str, int]): How many segments of each were found by a query, and so were learned from.
        losses (tuple[float, float]): Before the first step, and after the last.
        encoder (str): Fingerprint of the text encoder that other names are compared with.
        weights (str): Hash of the checkpoint; empty for random weights.
        templates (dict[str, dict[str, float]]): By name, the weights of its templates, if these were learned.
    """

    rows: dict[str, Tensor] = field(repr=False)
    segments: dict[str, int]
    losses: tuple[float, float]
    encoder: str = field(repr=False)
    weights: str = field(repr=False)
    templates: dict[str, dict[str, float]] = field(default_factory=dict, repr=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the names into a file for ``text_embeddings``, beside those that it has already.

        Raises:
            EmbeddingFileError: The file cannot be written, or belongs to other weights.
        """
        save_rows(path, self.rows, self.encoder, self.weights)


class PromptTokens(nn.Module):
    """Texts ``[tokens] NAME.`` with tokens of their own for every name; the text encoder is not part of it.

    Args:
        text_encoder (CausalTextEncoder): Encodes them; its weights stay as they are.
        names (Sequence[str]): Class names.
        count (int): Learned tokens of each.

    Raises:
        TuningError: A text becomes longer than the encoder reads.
    """

    def __init__(self, text_encoder: CausalTextEncoder, names: Sequence[str], count: int) -> None:
        super().__init__()
        self._encoder = (text_encoder,)  # not registered
        table = text_encoder.token_embedding.weight.detach()
        self.rate = _RATE * float(table.square().mean().sqrt())
        ids = text_encoder.tokenize([f'{clean_name(name)}.' for name in names]).to(table.device)
        self.ends = ids.argmax(1) + count
        length = int(self.ends.max()) + 1
        if length > text_encoder.context_length:
            raise TuningError(
                f'{count} tokens before the longest name make {length}; the text encoder reads up to '
                f'{text_encoder.context_length}'
            )
        self.embedded = table[ids[:, : length - count]]
        beginning = text_encoder.tokenize([_BEGINNING])[0]
        beginning = table[beginning[1 : int(beginning.argmax())].to(table.device)]
        self.tokens = nn.Parameter(beginning[torch.arange(count) % len(beginning)].repeat(len(names), 1, 1))

    def forward(self) -> Tensor:
        """Embeddings ``[n, C]`` of unit length, with gradient for the tokens alone."""
        (encoder,) = self._encoder
        x = torch.cat([self.embedded[:, :1], self.tokens, self.embedded[:, 1:]], 1)
        length = x.shape[1]
        x = x + encoder.positional_embedding[:length]
        features = encoder.project(encoder.transformer(x, attn_mask=encoder.attn_mask[:length, :length]))
        return normalize(features[torch.arange(len(x), device=x.device), self.ends])


def tune(
    inferencer: XDecoderInferencer,
    data: AnnotatedSet | str | os.PathLike[str],
    names: Mapping[str, str] | Sequence[str] | str,
    images: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    tokens: int = 4,
    steps: int = 100,
    learn: str = LEARNED[0],
) -> Tuned:
    """Learn what stands around class names; see :meth:`XDecoderInferencer.tune`."""
    tokens = number('tokens', tokens, int, 1)
    steps = number('steps', steps, int, 1)
    if learn not in LEARNED:
        raise ValueError(f'learn is {shown(learn)}; accepted are {" and ".join(map(repr, LEARNED))}')
    if limit is not None:
        limit = number('limit', limit, int, 1)
    what = 'data' if isinstance(data, AnnotatedSet) else str(data)
    if not isinstance(data, AnnotatedSet):
        data = read_annotations(expand(data), images=images)
    wanted = _wanted(names, data, what)
    renamed = {of: name for name, of in wanted.items()}
    vocabulary = Vocabulary.from_prompts(classes=[renamed.get(name, name) for name in data.names])
    model, labels = inferencer.model, {name: place for place, name in enumerate(data.names)}
    chosen = [image for image in data.images if any(segment.name in renamed for segment in image.segments)][:limit]
    seen = list(_look(inferencer, chosen, labels))
    places = [labels[of] for of in wanted.values()]
    found = torch.cat([one.labels for one in seen]) if seen else torch.zeros(0, dtype=torch.int64)
    counts = {name: int((found == place).sum()) for name, place in zip(wanted, places, strict=True)}
    for name, count in counts.items():
        if not any(segment.name == wanted[name] for image in chosen for segment in image.segments):
            raise TuningError(f'{what}: no image has a segment of the class {shown(wanted[name])}')
        if not count:
            raise TuningError(
                f'{what}: in {len(chosen)} images no query of the model shows a {shown(wanted[name])}, from which '
                f'{shown(name)} could be learned; give other images'
            )
    prompts = (
        TemplateWeights(model.vocabulary, list(wanted))
        if learn == 'templates'
        else PromptTokens(model.text_encoder, list(wanted), tokens)
    )
    rows, losses = _learn(inferencer, seen, vocabulary, prompts, places, steps)
    rows_of = dict(zip(wanted, rows, strict=True))
    model.vocabulary.learn(rows_of)
    if inferencer.word_check is not None:
        inferencer.word_check.learn(list(rows_of))
    origin = model.text_encoder.fingerprint(), inferencer.origin.weights_sha256 or ''
    shares = dict(zip(wanted, prompts.shares(), strict=True)) if isinstance(prompts, TemplateWeights) else {}
    return Tuned(rows_of, counts, losses, *origin, shares)


def _wanted(names: Mapping[str, str] | Sequence[str] | str, data: AnnotatedSet, what: str) -> dict[str, str]:
    """Class of the data by the name that is to be tuned for it."""
    names = [names] if isinstance(names, str) else names
    wanted = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
    strange = [of for of in wanted.values() if of not in data.names]
    if strange or not wanted:
        asked = f'has no class {shown(strange[0])}' if strange else 'no name is given'
        raise TuningError(f'{what}: {asked}; accepted are {listed(data.names, 30)}')
    if len(set(wanted.values())) < len(wanted):
        raise TuningError('two names are tuned for one class; tune them one after the other')
    return wanted


@torch.no_grad()
def _look(
    inferencer: XDecoderInferencer, images: Iterable[AnnotatedImage], labels: Mapping[str, int]
) -> Iterable[Seen]:
    """Images through the expensive half of the model, each once."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    for image in images:
        if not image.path:
            raise ImageReadError(image.file, 'was not found; say where the images are by --images')
        encoded = inferencer.encode_image(ImageSource(image.file, decode_image(image_data(image.path), image.file)))
        size = encoded.sample.ori_shape[:2]
        if tuple(size) != tuple(image.size):
            raise TuningError(f'{image.path}: is {size[1]}x{size[0]} pixels, but annotated as {image.size[::-1]}')
        layer = encoded.latent_pass.outputs.last
        shape = encoded.sample.img_shape[:2]
        grid = postprocess.grid_of(shape)
        embeds = layer.rows(layer.mask_embed, OBJECT, IMAGE)[0]
        masks = postprocess.mask_logits(embeds, encoded.features.mask_features[0], shape, grid) > 0
        segments = [one for one in image.segments if not one.iscrowd and one.area]
        found = torch.full((len(embeds),), len(labels))
        if segments:
            true = torch.from_numpy(np.stack([one.array() for one in segments])).float()[None]
            true = (F.interpolate(true, grid, mode='area')[0] > 0.5).to(masks.device)
            ious = _ious(masks.flatten(1), true.flatten(1)).cpu().numpy()
            # Further queries on a segment are neither right nor wrong: names cannot tell them from the best one.
            found[torch.from_numpy(ious.max(1) > LEAST_IOU)] = IGNORED
            for query, segment in zip(*linear_sum_assignment(-ious), strict=True):
                if ious[query, segment] > LEAST_IOU:
                    found[query] = labels[segments[segment].name]
        yield Seen(layer.rows(layer.class_embed, OBJECT, IMAGE)[0].float(), found.to(masks.device))


def _ious(left: Tensor, right: Tensor) -> Tensor:
    """IoU ``[n, m]`` of bool masks ``[n, p]`` and ``[m, p]``."""
    left, right = left.float(), right.float()
    shared = left @ right.T
    return shared / (left.sum(1)[:, None] + right.sum(1)[None] - shared).clamp(min=1)


@torch.enable_grad()
def _learn(
    inferencer: XDecoderInferencer,
    seen: Sequence[Seen],
    vocabulary: Vocabulary,
    prompts: PromptTokens | TemplateWeights,
    places: Sequence[int],
    steps: int,
) -> tuple[Tensor, tuple[float, float]]:
    """Embeddings ``[n, C]`` of the tuned names, and the loss before and after."""
    text = inferencer.model.text_encoder
    fixed, scale = inferencer.model.vocabulary(vocabulary).detach().clone(), text.logit_scale.detach()
    embeds, labels = (torch.cat(parts) for parts in ([one.class_embed for one in seen], [one.labels for one in seen]))
    weights = fixed.new_ones(len(fixed))
    weights[-1] = NO_OBJECT_WEIGHT
    learned = [(part, part.requires_grad) for part in text.parameters()]
    for part, _ in learned:
        part.requires_grad_(False)
    try:
        optimizer = torch.optim.Adam(prompts.parameters(), prompts.rate)
        losses = []
        for step in range(steps + 1):
            rows = prompts()
            table = fixed.index_put((torch.tensor(places, device=fixed.device),), rows.to(fixed))
            loss = F.cross_entropy(cosine_logits(embeds, table, scale), labels, weights, ignore_index=IGNORED)
            losses.append(float(loss.detach()))
            if step < steps:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    finally:
        for part, wanted in learned:
            part.requires_grad_(wanted)
    return F.normalize(rows.detach(), dim=1), (losses[0], losses[-1])
