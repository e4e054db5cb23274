"""What enters and leaves the decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class KeysValues(NamedTuple):
    """Projected keys and values ``[B, heads, K, C/heads]`` of an attention, reusable for any number of queries."""

    keys: Tensor
    values: Tensor

    def select(self, indices: Sequence[int]) -> KeysValues:
        """Those of some images of the batch."""
        rows = list(indices)
        return KeysValues(self.keys[rows], self.values[rows])


class Pixels(NamedTuple):
    """What a decoder layer sees of the image.

    Attributes:
        tokens (Tensor): ``[B, HW, C]`` image tokens of the layer's level.
        position (Tensor): ``[1, HW, C]`` their positions.
        keys (KeysValues | None): Both, projected by the layer, if that was done before.
    """

    tokens: Tensor
    position: Tensor
    keys: KeysValues | None = None


@dataclass(frozen=True)
class ImageFeatures:
    """What the image encoder makes of a batch of equally padded images.

    Attributes:
        backbone (tuple[Tensor, ...]): Backbone maps ``[B, C_i, H/s, W/s]`` for strides s = 4, 8, 16, 32.
        mask_features (Tensor): ``[B, C, H/4, W/4]``; a mask logit is its dot product with a mask embedding.
        memory (tuple[Tensor, ...]): Maps ``[B, C, H/s, W/s]`` the decoder attends, for s = 32, 16, 8 in this order.
        image (Tensor | None): ``[B, 3, H, W]`` the normalised and padded images themselves, for components with an
            image encoder of their own.
    """

    backbone: tuple[Tensor, ...]
    mask_features: Tensor
    memory: tuple[Tensor, ...]
    image: Tensor | None = None

    def select(self, indices: Sequence[int]) -> ImageFeatures:
        """Features of some images of the batch."""
        rows = list(indices)
        return self._each(lambda level: level[rows])

    def detached(self) -> ImageFeatures:
        """The same, for a task that must not change what makes them."""
        return self._each(lambda level: level.detach())

    def _each(self, change: Callable[[Tensor], Tensor]) -> ImageFeatures:
        return ImageFeatures(
            backbone=tuple(map(change, self.backbone)),
            mask_features=change(self.mask_features),
            memory=tuple(map(change, self.memory)),
            image=None if self.image is None else change(self.image),
        )


@dataclass(frozen=True)
class QueryGroup:
    """A named set of queries with its own rules of who sees whom: what a task adds to the decoder.

    Attributes:
        name (str): Unique name within one forward pass.
        content (Tensor): ``[B, n, C]`` initial content.
        position (Tensor): ``[B, n, C]`` position, added to queries and keys of every attention.
        sees (frozenset[str]): Names of the groups its queries attend in self-attention (itself must be named).
        causal (bool): Within itself, query i sees only queries j <= i.
        image_attention (str): ``'masked'`` (Mask2Former's masked attention by the predicted mask), ``'all'`` pixels,
            or ``'no'`` cross-attention at all.
        unmasked (tuple[int, ...]): Queries of a group with masked image attention that attend all pixels instead.
        pools (str | None): Read out this one-query group not from its own state but as the average of the states of
            the group named here, weighted by similarity (the class token of X-Decoder, docs/model.md, 5).
        valid (Tensor | None): ``[B, n]`` bool; queries marked False are padding that nobody attends. None: all valid.
        region (Tensor | None): ``[B, H, W]`` bool in padded input resolution; a group that attends ``'all'`` pixels is
            limited to these. Where it is empty, and with None, all pixels are meant.
    """

    name: str
    content: Tensor
    position: Tensor
    sees: frozenset[str]
    causal: bool = False
    image_attention: str = 'masked'
    unmasked: tuple[int, ...] = ()
    pools: str | None = None
    valid: Tensor | None = None
    region: Tensor | None = None

    def __post_init__(self) -> None:
        if self.image_attention not in ('masked', 'all', 'no'):
            raise ValueError(
                f"query group '{self.name}': image_attention is {self.image_attention!r}; "
                "accepted are 'masked', 'all' and 'no'"
            )
        if self.region is not None and self.image_attention != 'all':
            raise ValueError(
                f"query group '{self.name}': a region limits groups that attend 'all' pixels, "
                f'not {self.image_attention!r}'
            )


@dataclass(frozen=True)
class LayerPrediction:
    """The prediction heads' output after one decoder layer (or before the first).

    Attributes:
        slices (dict[str, slice]): Rows of each query group.
        class_embed (Tensor): ``[B, N, C]`` un-normalised embeddings, compared with text embeddings by cosine.
        mask_embed (Tensor): ``[B, N, C]`` embeddings whose dot product with ``mask_features`` is a mask logit.
        state (Tensor): ``[B, N, C]`` layer-normalised query states, for heads that a task owns.
    """

    slices: dict[str, slice]
    class_embed: Tensor
    mask_embed: Tensor
    state: Tensor

    def rows(self, tensor: Tensor, *groups: str) -> Tensor:
        """Rows of ``tensor`` that belong to consecutive ``groups``: ``[B, n, C]``."""
        parts = [self.slices[name] for name in groups]
        if any(left.stop != right.start for left, right in zip(parts, parts[1:], strict=False)):
            raise ValueError(f'query groups {groups} are not consecutive')
        return tensor[:, parts[0].start : parts[-1].stop]

    def select(self, indices: Sequence[int]) -> LayerPrediction:
        """The prediction for some images of the batch."""
        rows = list(indices)
        return LayerPrediction(self.slices, self.class_embed[rows], self.mask_embed[rows], self.state[rows])

    def repeat(self, times: int) -> LayerPrediction:
        """The prediction with every image ``times`` times, next to each other."""
        if times == 1:
            return self
        return self.select([row for row in range(len(self.state)) for _ in range(times)])


@dataclass(frozen=True)
class DecoderOutput:
    """Predictions of every supervised step, in order: from the initial queries, then after each layer.

    Attributes:
        layers (tuple[LayerPrediction, ...]): ``num_layers + 1`` predictions, the last one final.
        mask_features (Tensor): ``[B, C, H/4, W/4]``.
        keys (tuple[KeysValues, ...] | None): Keys and values of the queries in every layer, which queries that come
            later need. None where gradients are recorded.
    """

    layers: tuple[LayerPrediction, ...]
    mask_features: Tensor
    keys: tuple[KeysValues, ...] | None = None

    @property
    def last(self) -> LayerPrediction:
        """The final prediction."""
        return self.layers[-1]

    def select(self, indices: Sequence[int]) -> DecoderOutput:
        """The output for some images of the batch."""
        rows = list(indices)
        keys = self.keys and tuple(layer.select(rows) for layer in self.keys)
        return DecoderOutput(tuple(layer.select(rows) for layer in self.layers), self.mask_features[rows], keys)
