"""Full-size models with pseudo-weights, run stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor

from xdet.compat.official_weights import official_to_xdet
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.xdecoder import XDecoder
from xdet.registry import MODELS
from xdet.structures import DecoderOutput, ImageFeatures, QueryGroup, XDetDataSample

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def full_size_model(name: str, official_state: dict[str, Tensor], **overrides) -> XDecoder:
    """The model of ``configs/_base_/models/<name>.py`` with official-layout weights, strictly loaded."""
    config = Config.fromfile(CONFIGS / f'_base_/models/{name}.py')
    config.merge_from_dict(overrides)
    model = MODELS.build(config.model)
    state = official_to_xdet(official_state)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


@dataclass(frozen=True)
class Stages:
    """Everything between a picture and the decoder's output."""

    inputs: Tensor
    features: ImageFeatures
    outputs: DecoderOutput

    def masks(self, layer: int, *groups: str) -> Tensor:
        """Mask logits ``[B, n, h, w]`` of prediction ``layer`` at stride 4."""
        prediction = self.outputs.layers[layer]
        embed = prediction.rows(prediction.mask_embed, *(groups or (OBJECT, IMAGE)))
        return torch.einsum('bqc,bchw->bqhw', embed, self.features.mask_features)

    def class_embed(self, layer: int, *groups: str) -> Tensor:
        """Class embeddings ``[B, n, C]`` of prediction ``layer``."""
        prediction = self.outputs.layers[layer]
        return prediction.rows(prediction.class_embed, *(groups or (OBJECT, IMAGE)))


@torch.no_grad()
def run_stages(model: XDecoder, images: Sequence[Tensor], groups: Sequence[QueryGroup] = ()) -> Stages:
    """Run uint8 RGB images ``[3, H, W]``, padded jointly, with ``groups`` besides the latent ones."""
    inputs = preprocess(model, images, joint=True)
    features = model.encode(inputs)
    outputs = model.decoder(features, [*model.decoder.latent_queries(len(images)), *groups])
    return Stages(inputs, features, outputs)


def preprocess(model: XDecoder, images: Sequence[Tensor], joint: bool = False) -> Tensor | list[Tensor]:
    """Normalised, padded network input of uint8 RGB images."""
    return model.data_preprocessor(dict(inputs=[image.flip(0) for image in images]), training=joint)['inputs']


def sample_of(image: Tensor, size: Sequence[int] | None, **meta) -> XDetDataSample:
    """A sample for an RGB image ``[3, H, W]`` whose results are wanted in ``size``."""
    shape = tuple(image.shape[-2:])
    return XDetDataSample(metainfo=dict(img_shape=shape, ori_shape=tuple(map(int, size or shape)), **meta))


def phrase_groups(model: XDecoder, phrases: Sequence[str]) -> tuple[list[QueryGroup], Tensor]:
    """The groups referring segmentation adds, all phrases decoded jointly as the official model does."""
    features = model.text_encoder(phrases)
    tokens = features.tokens[features.valid][None]
    latent = next(group for group in model.decoder.latent_queries(1) if group.name == OBJECT)
    sees = frozenset({'phrase', 'text'})
    groups = [
        QueryGroup('phrase', latent.content, latent.position, sees, unmasked=(0,)),
        QueryGroup('text', tokens, tokens, sees, image_attention='no'),
    ]
    return groups, features.pooled
