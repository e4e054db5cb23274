"""The decoder: one loop over layers for whatever query groups it is given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from xdet.registry import MODELS
from xdet.structures import DecoderOutput, ImageFeatures, LayerKeys, LayerPrediction, QueryGroup

from .heads import PredictionHeads
from .layers import DecoderLayer
from .positions import sine_positions
from .queries import PackedQueries, pack
from .regions import visible_pixels
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
        num_levels (int): Feature levels, used in turn by the layers.
        unmasked_query (str): Which query ignores its predicted mask and attends all pixels. ``'image'`` is what was
            meant. ``'official'`` reproduces the official index, which is one too far: it hits the first query behind
            the latent ones (:attr:`unmasks_next_query`; the first phrase query in referring segmentation, none
            otherwise), and the released weights were trained that way.
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
        unmasked_query: str = 'official',
        with_cp: bool = False,
    ) -> None:
        super().__init__(embed_dims)
        if unmasked_query not in ('official', 'image'):
            raise ValueError(f"unmasked_query is {unmasked_query!r}; accepted are 'official' and 'image'")
        if num_queries < 2:
            raise ValueError(f'num_queries is {num_queries}; at least 2 are needed: one object and the image query')
        self.num_queries = num_queries
        self.unmasks_next_query = unmasked_query == 'official'
        self.with_cp = with_cp
        self.query_feat = torch.nn.Embedding(num_queries, embed_dims)
        self.query_embed = torch.nn.Embedding(num_queries, embed_dims)
        self.level_embed = torch.nn.Embedding(num_levels, embed_dims)
        self.layers = torch.nn.ModuleList(
            DecoderLayer(embed_dims, num_heads, feedforward_channels) for _ in range(num_layers)
        )

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
                unmasked=() if self.unmasks_next_query else (0,),
                pools=OBJECT,
            ),
        ]

    def forward(self, features: ImageFeatures, groups: Sequence[QueryGroup], keep_keys: bool = False) -> DecoderOutput:
        """Decode.

        Args:
            features (ImageFeatures): Encoded images.
            groups (Sequence[QueryGroup]): All query groups; those of :meth:`latent_queries` are not added.
            keep_keys (bool): Hand out the keys and values of all layers, for a :class:`QueryStream`.

        Returns:
            DecoderOutput: ``num_layers + 1`` predictions.
        """
        queries = pack(groups)
        memory, positions = self._memory(features)
        levels = [_resize(features.mask_features.detach(), level.shape[-2:]) for level in features.memory]
        free = [_free_pixels(queries, level.shape[-2:]) for level in features.memory]
        self_mask = self_attention_mask(queries)

        x = queries.content
        predictions, keys = [PredictionHeads.forward(self, x, queries)], []
        for index, layer in enumerate(self.layers):
            level = index % len(memory)
            image_mask = self._image_mask(predictions[-1], levels[level], queries, free[level])
            x, layer_keys = self._run(
                layer,
                x,
                queries.position,
                queries.num_attending,
                memory[level],
                positions[level],
                image_mask,
                self_mask,
            )
            predictions.append(PredictionHeads.forward(self, x, queries))
            if keep_keys:
                keys.append(layer_keys)
        return DecoderOutput(tuple(predictions), features.mask_features, tuple(keys) if keep_keys else None)

    def _run(self, layer: DecoderLayer, *args) -> tuple[Tensor, LayerKeys]:
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(layer, *args, use_reentrant=False)
        return layer(*args)

    def _memory(self, features: ImageFeatures) -> tuple[list[Tensor], list[Tensor]]:
        """Image tokens with their level embedding ``[B, HW, C]`` and positions ``[1, HW, C]``, per level."""
        tokens, positions = [], []
        for level, embed in zip(features.memory, self.level_embed.weight, strict=True):
            tokens.append(level.flatten(2).transpose(1, 2) + embed)
            positions.append(sine_positions(level.shape[1], *level.shape[-2:], level.device).to(level.dtype))
        return tokens, positions

    @torch.no_grad()
    def _image_mask(self, prediction: LayerPrediction, level: Tensor, queries: PackedQueries, free: Tensor) -> Tensor:
        """Which pixels of ``level`` ``[B, C, h, w]`` each attending query may see: bool ``[B, 1, n, hw]``.

        ``free`` are the pixels of queries that predict no mask, see :func:`_free_pixels`.
        """
        allowed = (prediction.mask_embed @ level.flatten(2)) >= 0
        for group in queries.groups:
            for row in group.unmasked:
                allowed[:, queries.slices[group.name].start + row] = True
        # A query whose mask is empty would attend nothing; it attends everything instead.
        allowed |= ~allowed.any(dim=-1, keepdim=True)
        return torch.cat([allowed, free], dim=1)[:, None]


def _free_pixels(queries: PackedQueries, size: tuple[int, int]) -> Tensor:
    """Pixels of a feature level that queries without masked attention see: bool ``[B, n, h * w]``."""
    num = queries.num_attending - queries.num_masked
    free = queries.content.new_ones((len(queries.content), num, size[0] * size[1]), dtype=torch.bool)
    for group in queries.groups:
        if group.region is not None:
            rows = queries.slices[group.name]
            start, stop = rows.start - queries.num_masked, rows.stop - queries.num_masked
            free[:, start:stop] = visible_pixels(group.region[:, None], size)
    return free


def _resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Anti-aliased bicubic resizing, the only kind the official model uses for masks (docs/model.md, 5).

    In single precision, since torch has no half-precision version of it on CPUs.
    """
    resized = F.interpolate(features.float(), size=size, mode='bicubic', align_corners=False, antialias=True)
    return resized.to(features.dtype)
