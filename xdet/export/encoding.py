"""Graphs that run once per image or text: encoders, the decoder's pass over the latent queries, keys of the image."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models import XDecoder
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.pixel_names import PixelNames
from xdet.models.similarity import normalize
from xdet.structures import ImageFeatures


class ImageEncoder(nn.Module):
    """Backbone and pixel decoder: normalised, padded image ``[1, 3, H, W]`` to features and the backbone's mean."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.backbone, self.pixel_decoder = _with_fixed_padding(model.backbone), model.pixel_decoder
        self.pixel_names = pixel_names(model)

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


class _PaddedConv(nn.Module):
    """A convolution with timm's "same" padding, which is constant for sizes that are multiples of its stride.

    timm computes it from the size; of an open size that is an expression, which grows from layer to layer and takes the
    exporter minutes.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.pad: list[int] = []
        for length, stride, dilation in zip(conv.kernel_size, conv.stride, conv.dilation, strict=True):
            both = max(dilation * (length - 1) + 1 - stride, 0)
            self.pad = [both // 2, both - both // 2, *self.pad]  # the last axis comes first

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution does it."""
        conv = self.conv
        return F.conv2d(F.pad(x, self.pad), conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)


def _with_fixed_padding(backbone: nn.Module) -> nn.Module:
    """The backbone, or a copy of it where convolutions compute their padding."""
    if not any(type(module).__name__ == 'Conv2dSame' for module in backbone.modules()):
        return backbone
    backbone = copy.deepcopy(backbone)
    for module in [*backbone.modules()]:
        for name, child in module.named_children():
            if type(child).__name__ == 'Conv2dSame' and isinstance(child, nn.Conv2d):
                setattr(module, name, _PaddedConv(child))
    return backbone


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
        mask = causal(length, start, x.device)
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
        self.pixel_names = pixel_names(model)

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
        total = mask_embed.new_zeros(())
        for name, directions in zip(self.pixel_names.heard, pixels, strict=True):
            if self.pixel_names.joined:
                inside = (mask_embed @ F.avg_pool2d(mask_features, factor(name)).flatten(1)).sigmoid()
                inside = inside / inside.sum(1, keepdim=True).clamp(min=1e-6)
            else:
                masks = (mask_embed @ mask_features.flatten(1)).sigmoid().unflatten(1, mask_features.shape[1:])
                inside = F.avg_pool2d(masks, factor(name)).flatten(1)
                inside = torch.where(inside > 0.5, inside, 1e-4 * inside)
                inside = inside / inside.sum(1, keepdim=True).clamp(min=1e-12)
            total = total + inside @ directions[0].flatten(1).T / len(pixels)
        return total


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


def factor(name: str) -> int:
    """By how much a map of features is smaller than the mask features."""
    kind, level = name.split('_')
    return 1 << int(level) if kind == 'backbone' else 8 >> int(level)


def pixel_names(model: XDecoder) -> PixelNames | None:
    """Of a model whose pixels have a say in the names of queries."""
    for task in model.tasks.values():
        own = getattr(task, 'pixel_names', None)
        if own is not None and (own.share or own.joined):
            return own
    return None


def causal(length: int, start: int, device: torch.device) -> Tensor:
    """Query i sees the keys up to ``start + i``: bool ``[length, start + length]``."""
    last = torch.arange(length, device=device)[:, None] + start
    return torch.arange(start + length, device=device) <= last
