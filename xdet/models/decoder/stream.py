"""Queries that arrive piece by piece: captions word by word, questions, texts about a region."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models.numerics.precision import in_precision
from xdet.structures import DecoderOutput, ImageFeatures, KeysValues

from .regions import visible_pixels

if TYPE_CHECKING:
    from .layers import DecoderLayer
    from .xdecoder import XDecoderTransformerDecoder


class QueryStream:
    """Runs queries that see the latent queries and their own past and attend all pixels (or those of a region).

    Latent queries never look at such queries, so what a caption or a question needs of them are the keys and values of
    one earlier pass. Feeding a sequence in pieces gives the same states as a pass over all of it together with the
    latent queries (docs/architecture.md: group ``caption``).

    An image has a fixed number of *rows* (hypotheses of a beam, questions, regions), which do not see each other. Rows
    of one image lie one after the other: ``R = B * rows_per_image``. Images of different sizes have a stream each, and
    these can be :meth:`joined`.

    Args:
        decoder (XDecoderTransformerDecoder): The decoder.
        features (ImageFeatures): Encoded images.
        latents (DecoderOutput): Its output for the latent queries, made without recording gradients.
        length (int): Most queries per row that will be fed.
        rows_per_image (int): Rows of every image.
        regions (Tensor, optional): Bool ``[B, n, H, W]`` in padded input resolution; a row attends only pixels of its
            region. Each region has ``rows_per_image / n`` rows next to each other. None: all pixels.
        image_keys (Sequence[KeysValues], optional): From :meth:`XDecoderTransformerDecoder.image_keys`, if they were
            already made.
    """

    def __init__(
        self,
        decoder: XDecoderTransformerDecoder,
        features: ImageFeatures,
        latents: DecoderOutput,
        length: int,
        rows_per_image: int = 1,
        regions: Tensor | None = None,
        image_keys: Sequence[KeysValues] | None = None,
    ) -> None:
        if latents.keys is None:
            raise ValueError('the latent queries were decoded while gradients were recorded; use torch.no_grad()')
        self._layers = decoder.layers
        self._norm = decoder.decoder_norm
        levels = decoder.attended(features)
        visible: list[Tensor | None] = [None] * len(levels)
        if regions is not None:
            rows = rows_per_image // regions.shape[1]
            visible = [visible_pixels(regions, level.shape[-2:]).repeat_interleave(rows, dim=1) for level in levels]
        batch = len(features.mask_features)
        keys = decoder.image_keys(features) if image_keys is None else image_keys
        self._images = [_Images(batch, batch * rows_per_image, keys, visible)]
        self._num_latents = latents.keys[0].keys.shape[2]
        self._seen = [_Buffer(keys, rows_per_image, length) for keys in latents.keys]
        self._past = 0

    @staticmethod
    def joined(streams: Sequence[QueryStream]) -> QueryStream:
        """One stream of the rows of several, of which none was fed yet; their images may differ in size.

        A step then reads the weights of the decoder once for all of them, which is most of its time.
        """
        if len(streams) == 1:
            return streams[0]
        stream = copy.copy(streams[0])
        stream._images = [images for own in streams for images in own._images]
        stream._seen = [_Buffer.joined(buffers) for buffers in zip(*(own._seen for own in streams), strict=True)]
        return stream

    def to(self, dtype: torch.dtype) -> None:
        """Go on in another precision, with copies of the weights."""
        layers = in_precision(cast(nn.ModuleList, self._layers), dtype)
        self._layers, self._norm = cast('Sequence[DecoderLayer]', layers), in_precision(self._norm, dtype)
        self._images = [images.to(dtype) for images in self._images]
        for seen in self._seen:
            seen.to(dtype)

    def step(self, content: Tensor, position: Tensor) -> Tensor:
        """Feed the next n queries of every row.

        Args:
            content (Tensor): ``[R, n, C]``.
            position (Tensor): ``[R, n, C]``.

        Returns:
            Tensor: Layer-normalised states ``[R, n, C]`` after the last layer.
        """
        x, num = content, content.shape[1]
        mask = None
        if num > 1:
            mask = torch.ones(num, self._num_latents + self._past + num, dtype=torch.bool, device=x.device)
            mask = mask.tril(self._num_latents + self._past)
        for index, layer in enumerate(self._layers):
            x = self._attend_images(layer, x, position, index)
            seen = self._seen[index].append(layer.self_attn.project(x + position, x), self._num_latents + self._past)
            x = layer.feed_forward(layer.attend_queries(x, position, seen, mask))
        self._past += num
        return self._norm(x)

    def reorder(self, rows: Tensor) -> None:
        """Continue row ``rows[i]`` as row i; both must belong to the same image. ``rows`` is int64 ``[R]``."""
        for seen in self._seen:
            seen.reorder(rows, self._num_latents, self._num_latents + self._past)

    def _attend_images(self, layer: DecoderLayer, x: Tensor, position: Tensor, index: int) -> Tensor:
        """Cross-attention with the rows of an image side by side, so that its keys exist once."""
        queries = layer.cross_attn.project_query(x + position).split([images.rows for images in self._images])
        attended = torch.cat([images.attend(own, index) for images, own in zip(self._images, queries, strict=True)])
        return layer.cross_norm(x + layer.cross_attn.out_proj(attended))


@dataclass(frozen=True)
class _Images:
    """Images of one size.

    Attributes:
        count (int): How many B.
        rows (int): Their rows R.
        keys (Sequence[KeysValues]): Keys and values ``[B, heads, HW, C / heads]`` of every layer.
        visible (Sequence[Tensor | None]): Of every level, which pixels a row may see: bool ``[B, R / B, HW]``.
    """

    count: int
    rows: int
    keys: Sequence[KeysValues]
    visible: Sequence[Tensor | None]

    def attend(self, queries: Tensor, layer: int) -> Tensor:
        """What projected queries ``[R, heads, n, C / heads]`` find in the images: ``[R, n, C]``."""
        num, visible = queries.shape[2], self.visible[layer % len(self.visible)]
        if visible is not None:
            visible = visible.repeat_interleave(num, dim=1)[:, None]
        side_by_side = queries.unflatten(0, (self.count, -1)).transpose(1, 2).flatten(2, 3)
        attended = F.scaled_dot_product_attention(side_by_side, *self.keys[layer], attn_mask=visible)
        return attended.transpose(1, 2).reshape(self.rows, num, -1)

    def to(self, dtype: torch.dtype) -> _Images:
        return replace(self, keys=[KeysValues(*(part.to(dtype) for part in keys)) for keys in self.keys])


class _Buffer:
    """Keys and values of one layer: those of the latent queries, then those of the row's own past."""

    def __init__(self, latents: KeysValues, rows_per_image: int, length: int) -> None:
        self._tensors = [
            F.pad(part.repeat_interleave(rows_per_image, dim=0), (0, 0, 0, length)).contiguous() for part in latents
        ]

    @staticmethod
    def joined(buffers: Sequence[_Buffer]) -> _Buffer:
        joined = copy.copy(buffers[0])
        joined._tensors = [torch.cat(parts) for parts in zip(*(buffer._tensors for buffer in buffers), strict=True)]
        return joined

    def to(self, dtype: torch.dtype) -> None:
        self._tensors = [tensor.to(dtype) for tensor in self._tensors]

    def append(self, new: KeysValues, start: int) -> KeysValues:
        stop = start + new.keys.shape[2]
        for tensor, part in zip(self._tensors, new, strict=True):
            if stop > tensor.shape[2]:
                raise ValueError(f'{stop - tensor.shape[2]} queries more were fed than the stream was made for')
            tensor[:, :, start:stop] = part
        return KeysValues(*(tensor[:, :, :stop] for tensor in self._tensors))

    def reorder(self, rows: Tensor, start: int, stop: int) -> None:
        for tensor in self._tensors:
            tensor[:, :, start:stop] = tensor[rows, :, start:stop]
