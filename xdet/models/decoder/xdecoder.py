"""The decoder: one loop over layers for whatever query groups it is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from xdet.models.numerics.resizing import resize, resize_by_products
from xdet.registry import MODELS
from xdet.structures import DecoderOutput, ImageFeatures, KeysValues, LayerPrediction, Pixels, QueryGroup

from .heads import PredictionHeads
from .layers import DecoderLayer
from .positioned import PositionedLayer
from .positions import sine_positions
from .queries import PackedQueries, pack
from .regions import visible_pixels
from .resizing import shrinking_matrix
from .visibility import self_attention_mask

OBJECT, IMAGE = 'object', 'image'


@MODELS.register_module()
class XDecoderTransformerDecoder(PredictionHeads):
    """Decoder of X-Decoder (paper section 3.2, docs/model.md, 5).

    It knows no task and no vocabulary: it runs the latent queries together with the groups that tasks add, and returns
    embeddings. Class logits and full masks are made by whoever needs them.

    Masked attention never builds full-resolution masks. Resizing is linear, so the resized mask of a query equals its
    mask embedding times the resized ``mask_features``, which is made once per level instead of once per layer.

    Args:
        num_queries (int): Latent queries including the one image (class) query, which is the last.
        embed_dims (int): Width C.
        num_heads (int): Attention heads.
        num_layers (int): Decoder layers; there is one prediction more.
        feedforward_channels (int): Hidden width of the feed-forward networks.
        num_levels (int): Feature levels that there are: 3 of strides 32, 16 and 8.
        levels (Sequence[int], optional): Which of them the layers attend, in turn, such as ``(1,)`` for stride 16 only.
            None: all.
        unmasked_query (str): Which query ignores its predicted mask and attends all pixels. ``'image'`` is what was
            meant. ``'official'`` reproduces the official index, which is one too far: it hits the first query behind
            the latent ones (the first of :meth:`object_copies`, none where there are no copies), and the released
            weights were trained that way.
        value_positions (bool): Whether queries learn where the pixels are that they attend, see
            :class:`~xdet.models.decoder.positioned.PositionedLayer`.
        with_cp (bool): Recompute layers in the backward pass to save memory.
    """

    def __init__(
        self,
        num_queries: int = 101,
        embed_dims: int = 512,
        num_heads: int = 8,
        num_layers: int = 9,
        feedforward_channels: int = 2048,
        num_levels: int = 3,
        levels: Sequence[int] | None = None,
        unmasked_query: str = 'official',
        value_positions: bool = False,
        with_cp: bool = False,
    ) -> None:
        super().__init__(embed_dims)
        if unmasked_query not in ('official', 'image'):
            raise ValueError(f"unmasked_query is {unmasked_query!r}; accepted are 'official' and 'image'")
        if num_queries < 2:
            raise ValueError(f'num_queries is {num_queries}; at least 2 are needed: one object and the image query')
        self.levels = tuple(range(num_levels)) if levels is None else tuple(levels)
        if not self.levels or not set(self.levels) <= set(range(num_levels)):
            raise ValueError(f'levels is {levels!r}; accepted are one or several of 0 to {num_levels - 1}')
        self.num_queries = num_queries
        self.unmasked_query = unmasked_query
        self.with_cp = with_cp
        self.query_feat = torch.nn.Embedding(num_queries, embed_dims)
        self.query_embed = torch.nn.Embedding(num_queries, embed_dims)
        self.level_embed = torch.nn.Embedding(num_levels, embed_dims)
        layer = PositionedLayer if value_positions else DecoderLayer
        layers = (layer(embed_dims, num_heads, feedforward_channels) for _ in range(num_layers))
        self.layers = cast(Sequence[DecoderLayer], torch.nn.ModuleList(layers))  # whose type forgets what it holds

    def latent_queries(self, batch_size: int) -> list[QueryGroup]:
        """The groups that are always present: object queries and the image query (docs/architecture.md)."""
        content = self.query_feat.weight.expand(batch_size, -1, -1)
        position = self.query_embed.weight.expand(batch_size, -1, -1)
        return [
            QueryGroup(OBJECT, content[:, :-1], position[:, :-1], sees=frozenset({OBJECT})),
            QueryGroup(
                IMAGE,
                content[:, -1:],
                position[:, -1:],
                sees=frozenset({IMAGE}),
                unmasked=(0,) if self.unmasked_query == 'image' else (),
                pools=OBJECT,
            ),
        ]

    def object_copies(self, batch_size: int, name: str, sees: frozenset[str]) -> QueryGroup:
        """A group of queries that begin as the object queries do, for tasks that look for something else."""
        objects = self.latent_queries(batch_size)[0]
        unmasked = (0,) if self.unmasked_query == 'official' else ()
        return QueryGroup(name, objects.content, objects.position, sees, unmasked=unmasked)

    def image_keys(self, features: ImageFeatures) -> tuple[KeysValues, ...]:
        """Keys and values of the image in every layer: for passes on the same image, and for a :class:`QueryStream`."""
        pixels = self._pixels(features)
        return tuple(layer.image_keys(pixels[index % len(pixels)]) for index, layer in enumerate(self.layers))

    def forward(
        self,
        features: ImageFeatures,
        groups: Sequence[QueryGroup],
        image_keys: Sequence[KeysValues] | None = None,
        rows_per_image: int = 1,
    ) -> DecoderOutput:
        """Decode.

        Args:
            features (ImageFeatures): Encoded images.
            groups (Sequence[QueryGroup]): All query groups; those of :meth:`latent_queries` are not added.
            image_keys (Sequence[KeysValues], optional): From :meth:`image_keys`, if they were already made.
            rows_per_image (int): Independent rows R of every image, next to each other: groups are of batch size
                ``B * R``. Queries that attend the image must begin alike in the rows of an image; all that is the same
                for them is then done once.

        Returns:
            DecoderOutput: ``num_layers + 1`` predictions for all rows, and the mask features of the images.
        """
        queries = pack(groups)
        pixels = self._pixels(features)
        sizes = [level.shape[-2:] for level in self.attended(features)]
        levels = _resized(features.mask_features.detach(), sizes)
        free = [_free_pixels(queries, size) for size in sizes]
        self_mask = self_attention_mask(queries)

        x = queries.content
        recorded = torch.is_grad_enabled()
        # Before the first layer the rows of an image differ in nothing that the image or the heads see.
        prediction = self.read_out(x[::rows_per_image], queries)
        predictions, keys = [prediction.repeat(rows_per_image)], []
        for index, layer in enumerate(self.layers):
            level = index % len(pixels)
            seen = pixels[level] if image_keys is None else pixels[level]._replace(keys=image_keys[index])
            image_mask = self._image_mask(prediction, levels[level], queries, free[level])
            run = partial(checkpoint, layer, use_reentrant=False) if self.with_cp and recorded else layer
            x, layer_keys = run(x, queries.position, seen, image_mask, self_mask)
            prediction = self.read_out(x, queries)
            predictions.append(prediction)
            if not recorded:
                keys.append(layer_keys)
        return DecoderOutput(tuple(predictions), features.mask_features, None if recorded else tuple(keys))

    def attended(self, features: ImageFeatures) -> list[Tensor]:
        """The feature levels ``[B, C, h, w]`` that the layers attend in turn."""
        return [features.memory[level] for level in self.levels]

    def _pixels(self, features: ImageFeatures) -> list[Pixels]:
        """Image tokens with their level embedding, and their positions, per level."""
        pixels = []
        for level, embed in zip(self.attended(features), self.level_embed.weight[list(self.levels)], strict=True):
            _, channels, height, width = level.shape
            position = sine_positions(channels, height, width, level.device).to(level.dtype)
            pixels.append(Pixels(level.flatten(2).transpose(1, 2) + embed, position))
        return pixels

    @torch.no_grad()
    def _image_mask(self, prediction: LayerPrediction, level: Tensor, queries: PackedQueries, free: Tensor) -> Tensor:
        """Which pixels of ``level`` ``[B, C, h, w]`` each attending query may see: bool ``[rows, n, hw]``.

        ``free`` are the pixels of queries that predict no mask, see :func:`_free_pixels`.
        """
        embed = prediction.mask_embed
        logits = embed.reshape(level.shape[0], -1, embed.shape[-1]) @ level.flatten(2)
        allowed = (logits >= 0).view(*embed.shape[:2], -1)
        for group in queries.groups:
            for row in group.unmasked:
                allowed[:, queries.slices[group.name].start + row] = True
        # A query whose mask is empty would attend nothing; it attends everything instead.
        allowed |= ~allowed.any(dim=-1, keepdim=True)
        return torch.cat([allowed, free[:: free.shape[0] // allowed.shape[0]]], dim=1)


_is_exporting = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)  # torch 2.6 has only the latter


def _free_pixels(queries: PackedQueries, size: tuple[int, ...]) -> Tensor:
    """Pixels of a feature level that queries without masked attention see: bool ``[B, n, h * w]``."""
    num = queries.num_attending - queries.num_masked
    free = queries.content.new_ones((queries.content.shape[0], num, size[0] * size[1]), dtype=torch.bool)
    for group in queries.groups:
        if group.region is not None:
            rows = queries.slices[group.name]
            start, stop = rows.start - queries.num_masked, rows.stop - queries.num_masked
            free[:, start:stop] = visible_pixels(group.region[:, None], size)
    return free


def _resized(features: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Anti-aliased bicubic resizing, the only kind the official model uses for masks (docs/model.md, 5).

    In single precision, since torch has no half-precision version of it on CPUs. A compiled graph keeps the operation
    itself; in an exported one it is a matrix per axis, as runtimes have another kernel or none.
    """
    if _is_exporting():
        matrices = [[shrinking_matrix(*pair) for pair in zip(features.shape[-2:], size, strict=True)] for size in sizes]
        return [rows @ (features @ columns.T) for rows, columns in matrices]
    single, resizing = features.float(), resize if torch.compiler.is_compiling() else resize_by_products
    levels = [resizing(single, size) for size in sizes]
    if features.dtype == torch.float32:
        return levels
    # In the layout that products in half precision need, which would else be made again by every layer.
    return [level.to(features.dtype, memory_format=torch.contiguous_format) for level in levels]
