"""A small model without a config, to be given weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from xdet.models import XDecoder
from xdet.registry import MODELS


def small_model(num_queries: int = 5) -> XDecoder:
    """With random weights, always the same."""
    torch.manual_seed(0)
    cfg = dict(
        type='XDecoder',
        backbone=dict(type='FocalNet', embed_dims=4, depths=(1, 1, 1, 1), focal_levels=(1, 1, 1, 1)),
        pixel_decoder=dict(
            type='FPNTransformerPixelDecoder',
            in_channels=(4, 8, 16, 32),
            feat_channels=32,
            num_layers=1,
            num_heads=2,
            feedforward_channels=8,
        ),
        text_encoder=dict(type='XDecoderTextEncoder', width=4, num_heads=2, num_layers=1, embed_dims=32),
        decoder=dict(
            type='XDecoderTransformerDecoder',
            num_queries=num_queries,
            embed_dims=32,
            num_heads=2,
            num_layers=1,
            feedforward_channels=8,
        ),
        tasks=dict(segmentation=dict(type='SegmentationTask')),
    )
    return MODELS.build(cfg)


def equal_weights(model: XDecoder, state: Mapping[str, Tensor], atol: float = 0.0) -> bool:
    """Whether the model has the weights."""
    own = model.state_dict()
    return all(torch.allclose(own[key], state[key].float(), rtol=0, atol=atol) for key in own)
