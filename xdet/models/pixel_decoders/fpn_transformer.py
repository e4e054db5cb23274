"""Pixel decoder of X-Decoder: a transformer encoder on the coarsest map and a feature pyramid on top of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet.models.layers import TransformerEncoderPixelDecoder
from mmengine.model import caffe2_xavier_init
from torch import Tensor, nn

from xdet.models.numerics.convolutions import quicker
from xdet.registry import MODELS


@MODELS.register_module()
class FPNTransformerPixelDecoder(TransformerEncoderPixelDecoder):
    """Layers of mmdet's MaskFormer pixel decoder, read out at three scales and without a padding mask.

    Args:
        in_channels (Sequence[int]): Channels of the backbone maps, strides 4, 8, 16, 32.
        feat_channels (int): Channels of everything inside and of all outputs; a multiple of 4 and of ``norm_groups``.
        num_layers (int): Transformer encoder layers on the stride-32 map.
        num_heads (int): Heads of its self-attention.
        feedforward_channels (int): Hidden width of its feed-forward networks.
        norm_groups (int): Groups of the group normalisation after convolutions.
        winograd (bool): On CPUs, in prediction, make the 3x3 convolutions by Winograd's algorithm: equal up to rounding
            (about 1e-5) in half the time. Where it does not apply they are direct, as with False.
        init_cfg (dict | list[dict], optional): Initialisation, see mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (96, 192, 384, 768),
        feat_channels: int = 512,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        norm_groups: int = 32,
        winograd: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        layer_cfg = dict(
            self_attn_cfg=dict(embed_dims=feat_channels, num_heads=num_heads, dropout=0.0),
            ffn_cfg=dict(embed_dims=feat_channels, feedforward_channels=feedforward_channels, ffn_drop=0.0),
        )
        super().__init__(
            in_channels=tuple(in_channels),
            feat_channels=feat_channels,
            out_channels=feat_channels,
            norm_cfg=dict(type='GN', num_groups=norm_groups),
            encoder=dict(num_layers=num_layers, layer_cfg=layer_cfg),
            positional_encoding=dict(num_feats=feat_channels // 2, normalize=True),
            init_cfg=init_cfg,
        )
        if winograd:
            for module in (*self.lateral_convs, *self.output_convs, self.encoder_out_proj):
                module.conv = quicker(module.conv)
            self.mask_feature: nn.Conv2d = quicker(self.mask_feature)

    def init_weights(self) -> None:
        """Xavier initialisation of all convolutions and of the encoder's matrices."""
        modules = [*self.lateral_convs, *self.output_convs, self.encoder_out_proj]
        for conv in [*(module.conv for module in modules), self.encoder_in_proj, self.mask_feature]:
            caffe2_xavier_init(conv, bias=0)
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Compute mask features and decoder memory.

        Args:
            feats (Sequence[Tensor]): Backbone maps ``[B, C_i, H/s, W/s]``, strides s = 4, 8, 16, 32.

        Returns:
            tuple[Tensor, tuple[Tensor, ...]]: Mask features ``[B, C, H/4, W/4]`` and the memory maps
            ``[B, C, H/s, W/s]`` for s = 32, 16, 8, in this order.
        """
        y = self.encoder_out_proj(self.encode(feats[-1]))
        pyramid = [y]
        # From coarse to fine; lateral_convs[i] belongs to feats[i].
        for feat, lateral, output in zip(feats[-2::-1], self.lateral_convs[::-1], self.output_convs[::-1], strict=True):
            lateral_feat = lateral(feat)
            y = output(lateral_feat + F.interpolate(y, size=lateral_feat.shape[-2:], mode='nearest'))
            pyramid.append(y)
        return self.mask_feature(y), tuple(pyramid[:-1])

    def encode(self, feat: Tensor) -> Tensor:
        """Transformer encoder on the coarsest backbone map: ``[B, C_in, h, w]`` -> ``[B, C, h, w]``."""
        position = self.positional_encoding(None, feat).flatten(2).transpose(1, 2)
        x = self.encoder_in_proj(feat)
        tokens = self.encoder(query=x.flatten(2).transpose(1, 2), query_pos=position.to(x.dtype), key_padding_mask=None)
        return tokens.transpose(1, 2).reshape_as(x)
