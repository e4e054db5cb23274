"""Queries that arrive piece by piece: captions word by word, questions, texts about a region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

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
    of one image lie one after the other: ``R = B * rows_per_image``.

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
        self._batch = len(features.mask_features)
        self._image = decoder.image_keys(features) if image_keys is None else image_keys
        levels = decoder.attended(features)
        self._visible: list[Tensor | None] = [None] * len(levels)
        if regions is not None:
            rows = rows_per_image // regions.shape[1]
            self._visible = [
                visible_pixels(regions, level.shape[-2:]).repeat_interleave(rows, dim=1) for level in levels
            ]
        self._num_latents = latents.keys[0].keys.shape[2]
        self._seen = [_Buffer(keys, rows_per_image, length) for keys in latents.keys]
        self._past = 0

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
            visible = self._visible[index % len(self._visible)]
            x = self._attend_image(layer, x, position, self._image[index], visible)
            seen = self._seen[index].append(layer.self_attn.project(x + position, x), self._num_latents + self._past)
            x = layer.feed_forward(layer.attend_queries(x, position, seen, mask))
        self._past += num
        return self._norm(x)

    def reorder(self, rows: Tensor) -> None:
        """Continue row ``rows[i]`` as row i; both must belong to the same image. ``rows`` is int64 ``[R]``."""
        for seen in self._seen:
            seen.reorder(rows, self._num_latents, self._num_latents + self._past)

    def _attend_image(
        self, layer: DecoderLayer, x: Tensor, position: Tensor, image: KeysValues, visible: Tensor | None
    ) -> Tensor:
        """Cross-attention with the rows of an image side by side, so that its keys exist once."""
        rows, num, channels = x.shape
        if visible is not None:
            visible = visible.repeat_interleave(num, dim=1)[:, None]
        shape = (self._batch, rows // self._batch * num, channels)
        return layer.attend_image(x.reshape(shape), position.reshape(shape), image, visible).reshape(
            rows, num, channels
        )


class _Buffer:
    """Keys and values of one layer: those of the latent queries, then those of the row's own past."""

    def __init__(self, latents: KeysValues, rows_per_image: int, length: int) -> None:
        self._tensors = [
            F.pad(part.repeat_interleave(rows_per_image, dim=0), (0, 0, 0, length)).contiguous() for part in latents
        ]

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
