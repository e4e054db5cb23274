"""Deformable pixel decoder of X-Decoder's release: that of Mask2Former."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmengine.config import ConfigDict
from torch import Tensor, nn

from xdet.models.numerics.convolutions import quicker
from xdet.registry import MODELS


@MODELS.register_module()
class DeformablePixelDecoder(MSDeformAttnPixelDecoder):
    """mmdet's deformable pixel decoder with the settings of the release.

    The maps of strides 32, 16 and 8 attend each other in a deformable transformer encoder. Its stride-8 output,
    enlarged bilinearly, and the stride-4 map of the backbone make the mask features, through a 1x1 convolution.

    As in the release: all of that, group normalisation of the inputs, sine positions and a learned embedding per map,
    post-norm layers without dropout, 32-bit floats also under autocast. Different: parameters have mmdet's names, and
    checkpoints of the release are not translated (none with this part was published).

    Where mmcv has compiled operators its kernels sample on GPUs; elsewhere :mod:`xdet.compat.deformable_attention`.

    Args:
        in_channels (Sequence[int]): Channels of the backbone maps, strides 4, 8, 16, 32.
        feat_channels (int): Channels of everything inside and of all outputs; a multiple of 4, of ``num_heads`` and of
            ``norm_groups``.
        num_layers (int): Transformer encoder layers.
        num_heads (int): Heads of the attention.
        num_points (int): Points that a query reads per head and map.
        feedforward_channels (int): Hidden width of the feed-forward networks.
        norm_groups (int): Groups of the group normalisation after convolutions.
        winograd (bool): See :class:`FPNTransformerPixelDecoder`.
        init_cfg (dict | list[dict], optional): Initialisation, see mmengine.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (96, 192, 384, 768),
        feat_channels: int = 512,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        norm_groups: int = 32,
        winograd: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        layer_cfg = dict(
            self_attn_cfg=dict(
                embed_dims=feat_channels,
                num_heads=num_heads,
                num_levels=3,
                num_points=num_points,
                dropout=0.0,
                batch_first=True,
            ),
            ffn_cfg=dict(embed_dims=feat_channels, feedforward_channels=feedforward_channels, ffn_drop=0.0),
        )
        super().__init__(
            in_channels=tuple(in_channels),
            strides=(4, 8, 16, 32),
            feat_channels=feat_channels,
            out_channels=feat_channels,
            num_outs=3,
            norm_cfg=dict(type='GN', num_groups=norm_groups),
            encoder=ConfigDict(num_layers=num_layers, layer_cfg=layer_cfg),
            positional_encoding=dict(num_feats=feat_channels // 2, normalize=True),
            init_cfg=init_cfg,
        )
        if winograd:
            for module in (*self.lateral_convs, *self.output_convs):
                module.conv = quicker(module.conv)

    def init_weights(self) -> None:
        """Xavier initialisation of convolutions and matrices; the attention starts as a star around every pixel."""
        super().init_weights()
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for layer in self.encoder.layers:
            layer.self_attn.init_weights()  # mmdet does it only where mmcv has compiled operators

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Compute mask features and decoder memory.

        Args:
            feats (Sequence[Tensor]): Backbone maps ``[B, C_i, H/s, W/s]``, strides s = 4, 8, 16, 32.

        Returns:
            tuple[Tensor, tuple[Tensor, ...]]: Mask features ``[B, C, H/4, W/4]`` and the memory maps
            ``[B, C, H/s, W/s]`` for s = 32, 16, 8, in this order; all float32.
        """
        with torch.autocast(feats[0].device.type, enabled=False):
            mask_features, memory = super().forward([feat.float() for feat in feats])
        return mask_features, tuple(memory)
