"""Models of three libraries and ours, behind one interface, for peers_photos.py."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from torch import Tensor, nn

from xdet.models.losses.matching.points import sample_points
from xdet.registry import MODELS
from xdet.structures import XDetDataSample

CONFIG = Path(__file__).resolve().parents[1] / 'configs' / 'xdecoder' / 'xdecoder_lite0-nano_joint-photos.py'
WIDTH, QUERIES, LAYERS, ENCODER_LAYERS, POINTS = 128, 50, 6, 2, 1024
CHANNELS = (24, 40, 112, 320)


class Peer(nn.Module):
    """A model under comparison: a loss for training and scores for testing.

    Args:
        args (argparse.Namespace): Options of the program.
        num_classes (int): Classes without background.
    """

    lr_mults: dict[str, float] = {}

    def __init__(self, args: argparse.Namespace, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = MODELS.build(dict(type='TimmBackbone', name='tf_efficientnet_lite0', weights=args.backbone))
        self.preprocessor = MODELS.build(dict(type='XDecoderDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3))

    def loss(self, batch: dict[str, list]) -> Tensor:
        """Loss of a batch of ``inputs`` and ``data_samples``."""
        data = self.preprocessor(batch, True)
        segments = [sample.gt_segments for sample in data['data_samples']]
        return self.loss_of(data['inputs'], [s.masks for s in segments], [s.labels for s in segments])

    def loss_of(self, images: Tensor, masks: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        raise NotImplementedError

    def scores(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of one normalised image ``[1, 3, H, W]``: class logits and mask logits.

        Models of queries give ``[Q, K + 1]``, the last for no object, and ``[Q, h, w]``; the others scores of the
        background and the classes at every pixel, ``[1 + K, h, w]``, and None.
        """
        raise NotImplementedError


class OfMMSeg(Peer):
    """A semantic head of mmseg: cross entropy of background and classes at every pixel."""

    def __init__(self, args: argparse.Namespace, num_classes: int, **head: Any) -> None:
        super().__init__(args, num_classes)
        from mmseg.models import decode_heads

        common = dict(num_classes=num_classes + 1, channels=WIDTH, norm_cfg=dict(type='BN'), align_corners=False)
        common['loss_decode'] = dict(type='mmseg.CrossEntropyLoss')
        self.head = getattr(decode_heads, head.pop('type'))(**common, **head)
        self.head.init_weights()

    def loss_of(self, images: Tensor, masks: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        target = images.new_zeros((len(images), *images.shape[-2:]), dtype=torch.int64)
        for image, mask, label in zip(target, masks, labels, strict=True):
            for one, number in zip(mask, label, strict=True):
                image[: one.shape[0], : one.shape[1]][one] = number + 1
        scores = F.interpolate(self.head(self.backbone(images)), images.shape[-2:], mode='bilinear')
        return F.cross_entropy(scores, target)

    def scores(self, image: Tensor) -> tuple[Tensor, None]:
        return self.head(self.backbone(image))[0], None


def deeplab(args: argparse.Namespace, num_classes: int) -> Peer:
    """DeepLabV3+ with an output stride of 16: the last stage is dilated instead of strided."""
    peer = OfMMSeg(
        args, num_classes, type='DepthwiseSeparableASPPHead', in_channels=320, in_index=1, dilations=(1, 6, 12, 18),
        c1_in_channels=24, c1_channels=48,
    )  # fmt: skip
    peer.backbone = Dilated(args.backbone)
    return peer


class Dilated(nn.Module):
    """EfficientNet-Lite0 with maps of strides 4 and 16, the latter from its last stage."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        import timm

        from xdet.models.backbones.timm_backbone import load_timm_weights

        self.model = timm.create_model('tf_efficientnet_lite0', features_only=True, output_stride=16)
        load_timm_weights(self.model, 'tf_efficientnet_lite0', weights, {})
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)

    def train(self, mode: bool = True) -> Dilated:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.model(images)
        return maps[1], maps[4]


def fcn(args: argparse.Namespace, num_classes: int) -> Peer:
    """FCN: two convolutions on the maps of strides 8 to 32, enlarged to stride 8 and stacked."""
    return OfMMSeg(
        args, num_classes, type='FCNHead', in_channels=CHANNELS[1:], in_index=(1, 2, 3), num_convs=2,
        input_transform='resize_concat', concat_input=False,
    )  # fmt: skip


def semantic_fpn(args: argparse.Namespace, num_classes: int) -> Peer:
    """Semantic FPN: mmseg's FPN neck and head."""
    from mmseg.models.necks import FPN

    peer = OfMMSeg(
        args, num_classes, type='FPNHead', in_channels=[WIDTH] * 4, in_index=(0, 1, 2, 3),
        feature_strides=(4, 8, 16, 32),
    )  # fmt: skip
    neck = FPN(in_channels=list(CHANNELS), out_channels=WIDTH, num_outs=4)
    neck.init_weights()
    peer.head = nn.Sequential(neck, peer.head)
    return peer


class OfMMDet(Peer):
    """Mask2Former of mmdet."""

    def __init__(self, args: argparse.Namespace, num_classes: int) -> None:
        super().__init__(args, num_classes)
        import mmdet.models.dense_heads.mask2former_head as heads
        import mmdet.models.utils.point_sample as points

        # mmcv's point_sample is not compiled code, but comes only with what is. Both callers pass 3 arguments at most.
        heads.point_sample = points.point_sample = point_sample

        def attention(**cross: int) -> dict:
            return dict(embed_dims=WIDTH, num_heads=4, dropout=0.0, batch_first=True, **cross)

        def feedforward(width: int) -> dict:
            return dict(
                embed_dims=WIDTH, feedforward_channels=width, num_fcs=2, ffn_drop=0.0,
                act_cfg=dict(type='ReLU', inplace=True),
            )  # fmt: skip

        position = dict(num_feats=WIDTH // 2, normalize=True)
        layer = dict(self_attn_cfg=attention(), cross_attn_cfg=attention(), ffn_cfg=feedforward(512))
        encoder = dict(self_attn_cfg=attention(num_levels=3, num_points=4), ffn_cfg=feedforward(512))
        cost = [
            dict(type='ClassificationCost', weight=2.0),
            dict(type='CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
            dict(type='DiceCost', weight=5.0, pred_act=True, eps=1.0),
        ]
        self.head = heads.Mask2FormerHead(
            in_channels=list(CHANNELS),
            strides=[4, 8, 16, 32],
            feat_channels=WIDTH,
            out_channels=WIDTH,
            num_things_classes=num_classes,
            num_stuff_classes=0,
            num_queries=QUERIES,
            pixel_decoder=ConfigDict(
                type='mmdet.MSDeformAttnPixelDecoder',
                num_outs=3,
                norm_cfg=dict(type='GN', num_groups=32),
                act_cfg=dict(type='ReLU'),
                encoder=dict(num_layers=ENCODER_LAYERS, layer_cfg=encoder),
                positional_encoding=position,
            ),
            positional_encoding=position,
            transformer_decoder=ConfigDict(return_intermediate=True, num_layers=LAYERS, layer_cfg=layer),
            loss_cls=ConfigDict(
                type='mmdet.CrossEntropyLoss', loss_weight=2.0, class_weight=[1.0] * num_classes + [0.1]
            ),
            loss_mask=ConfigDict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=5.0),
            loss_dice=ConfigDict(
                type='mmdet.DiceLoss', use_sigmoid=True, activate=True, naive_dice=True, eps=1.0, loss_weight=5.0
            ),
            train_cfg=ConfigDict(
                num_points=POINTS,
                oversample_ratio=3.0,
                importance_sample_ratio=0.75,
                assigner=dict(
                    type='mmdet.HungarianAssigner', match_costs=[{**c, 'type': f'mmdet.{c["type"]}'} for c in cost]
                ),
                sampler=dict(type='mmdet.MaskPseudoSampler'),
            ),
            test_cfg=ConfigDict(),
        )
        self.head.init_weights()
        for module in self.head.modules():
            if type(module).__name__ == 'MultiScaleDeformableAttention':
                module.init_weights()  # mmdet does it only where mmcv has compiled operators

    def loss_of(self, images: Tensor, masks: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        from mmengine.structures import InstanceData

        size = tuple(images.shape[-2:])
        metas = [dict(img_shape=size, batch_input_shape=size, pad_shape=size)] * len(images)
        classes, predicted = self.head(self.backbone(images), samples_of(metas))
        targets = [InstanceData(labels=own, masks=mask.long()) for own, mask in zip(labels, masks, strict=True)]
        losses = self.head.loss_by_feat(classes, predicted, targets, metas)
        return sum((loss.sum() for loss in losses.values()), images.new_zeros(()))

    def scores(self, image: Tensor) -> tuple[Tensor, Tensor]:
        size = tuple(image.shape[-2:])
        metas = [dict(img_shape=size, batch_input_shape=size, pad_shape=size)]
        classes, masks = self.head(self.backbone(image), samples_of(metas))
        return classes[-1][0], masks[-1][0]


def samples_of(metas: Sequence[dict]) -> list[Any]:
    from mmdet.structures import DetDataSample

    return [DetDataSample(metainfo=meta) for meta in metas]


def point_sample(maps: Tensor, points: Tensor, align_corners: bool = False) -> Tensor:
    """mmcv's function of that name, for points ``[N, P, 2]``."""
    assert not align_corners
    return sample_points(maps, points)


class OfTransformers(Peer):
    """MaskFormer or Mask2Former of Hugging Face, around our backbone."""

    def __init__(self, args: argparse.Namespace, num_classes: int, name: str) -> None:
        super().__init__(args, num_classes)
        import transformers

        transformers.logging.set_verbosity_error()
        timm_config = transformers.TimmBackboneConfig(
            backbone='tf_efficientnet_lite0', use_pretrained_backbone=False, out_indices=[1, 2, 3, 4]
        )
        common = dict(
            backbone_config=timm_config, num_labels=num_classes, mask_feature_size=WIDTH, use_auxiliary_loss=True,
            no_object_weight=0.1,
        )  # fmt: skip
        if name == 'mask2former':
            config = transformers.Mask2FormerConfig(
                **common, feature_size=WIDTH, hidden_dim=WIDTH, num_attention_heads=4, encoder_layers=ENCODER_LAYERS,
                encoder_feedforward_dim=512, decoder_layers=LAYERS + 1, dim_feedforward=512, num_queries=QUERIES,
                train_num_points=POINTS,
            )  # fmt: skip
            self.net = transformers.Mask2FormerForUniversalSegmentation(config)
        else:
            decoder = transformers.DetrConfig(
                d_model=WIDTH, decoder_layers=LAYERS, decoder_ffn_dim=512, decoder_attention_heads=4, dropout=0.0,
                num_queries=QUERIES,
            )  # fmt: skip
            config = transformers.MaskFormerConfig(**common, fpn_feature_size=WIDTH, decoder_config=decoder)
            self.net = transformers.MaskFormerForInstanceSegmentation(config)
        self.net.model.pixel_level_module.encoder = FeatureMaps(self.backbone)

    def loss_of(self, images: Tensor, masks: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
        output = self.net(
            pixel_values=images,
            output_hidden_states=True,
            mask_labels=[mask.float() for mask in masks],
            class_labels=list(labels),
        )
        return output.loss.sum()

    def scores(self, image: Tensor) -> tuple[Tensor, Tensor]:
        output = self.net(pixel_values=image, output_hidden_states=True)
        return output.class_queries_logits[0], output.masks_queries_logits[0]


class FeatureMaps(nn.Module):
    """A backbone as transformers calls it."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor, **_: Any) -> Any:
        from transformers.modeling_outputs import BackboneOutput

        return BackboneOutput(feature_maps=tuple(self.backbone(images)))


class Ours(Peer):
    """X-Decoder as in its config: one task, or all of them on all three sources.

    Args:
        args (argparse.Namespace): Options of the program.
        num_classes (int): Classes without background.
        joint (bool): All tasks.
        start (bool): Everything from ``--text``, not only the text tower.
    """

    lr_mults = {'model.text_encoder': 0.2, 'model.text_encoder.logit_scale': 2.0}

    def __init__(self, args: argparse.Namespace, num_classes: int, joint: bool = False, start: bool = False) -> None:
        super().__init__(args, num_classes)
        if not args.text:
            raise SystemExit('peers_photos.py: ours needs --text, a file made by tools/misc/start_weights.py')
        cfg = Config.fromfile(CONFIG)
        cfg.merge_from_dict(args.cfg_options or {})
        if not joint:
            cfg.model.tasks = dict(segmentation=cfg.model.tasks.segmentation)
        self.model = MODELS.build(cfg.model)
        self.model.init_weights()
        self.model.backbone = self.backbone
        from safetensors.torch import load_file

        weights = {name: value.float() for name, value in load_file(args.text).items()}
        names = set(self.model.state_dict())
        chosen = {k: v for k, v in weights.items() if k in names and (start or k.startswith('text_encoder.'))}
        self.model.load_state_dict(chosen, strict=False)
        self.vocabulary: Any = None

    def loss(self, batch: dict[str, list]) -> Tensor:
        data = self.preprocessor(batch, True)
        losses = self.model.loss(data['inputs'], data['data_samples'])
        return torch.stack([value for name, value in losses.items() if 'loss' in name]).sum()

    def scores(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model.encode(image)
        sample = XDetDataSample(metainfo=dict(vocabulary=self.vocabulary))
        context = self.model.context(self.model.latent_pass(features), [sample])
        logits = self.model.tasks['segmentation'].class_logits(context)[0]
        last = context.outputs.last
        embeds = last.rows(last.mask_embed, 'object', 'image')[0]
        return logits, torch.einsum('qc,chw->qhw', embeds, features.mask_features[0])


PEERS: dict[str, Callable[[argparse.Namespace, int], Peer]] = {
    'deeplabv3plus-mmseg': deeplab,
    'fcn-mmseg': fcn,
    'fpn-mmseg': semantic_fpn,
    'mask2former-mmdet': OfMMDet,
    'mask2former-hf': lambda args, classes: OfTransformers(args, classes, 'mask2former'),
    'maskformer-hf': lambda args, classes: OfTransformers(args, classes, 'maskformer'),
    'xdecoder': Ours,
    'xdecoder-start': lambda args, classes: Ours(args, classes, start=True),
    'xdecoder-joint': lambda args, classes: Ours(args, classes, joint=True),
}
