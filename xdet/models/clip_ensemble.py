"""A frozen CLIP that has a say in the names of queries."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from xdet.registry import MODELS
from xdet.structures import ImageFeatures, Vocabulary, clean_name

from .numerics.precision import at_least_single
from .pixel_names import inside_weights
from .similarity import cosine_logits, geometric_mixture
from .text import OpenCLIPTextEncoder, TextCache
from .text.open_clip_encoder import config_of, read_checkpoint


@MODELS.register_module()
class ClipEnsemble(nn.Module):
    """Scores the pixels under every query's mask with a CLIP, and mixes that with the decoder's class probabilities.

    A decoder learns the names of its training data; a CLIP knows many more and stays as it is. What both say is mixed
    geometrically, with one weight for names that the decoder was trained with and another for those it was not
    (FC-CLIP, arXiv 2308.02487). It concerns names only: masks, and whether there is an object, remain the decoder's.
    No training is needed, and weights of 0 change nothing.

    The CLIP is no part of the model's state: it has a file of its own, and its parameters are never trained. An image
    is encoded once for all prompts.

    Args:
        model (str | dict): Name of a model that open_clip knows, with a ConvNeXt or a vision transformer and a causal
            text tower, or its config (``embed_dim``, ``vision_cfg``, ``text_cfg``).
        weights (str): Local checkpoint of open_clip.
        seen (Sequence[str]): Names that the decoder was trained with, as users would write them.
        share_seen (float): Say of the CLIP in names that were seen, in [0, 1].
        share_unseen (float): Likewise for all others.

    Raises:
        ValueError: A share is out of range, open_clip has no such model, its image tower has no map of the image, or
            the file does not fit.
    """

    def __init__(
        self,
        model: str | Mapping[str, Any],
        weights: str | os.PathLike[str],
        seen: Sequence[str] = (),
        share_seen: float = 0.4,
        share_unseen: float = 0.8,
    ) -> None:
        super().__init__()
        for name, share in dict(share_seen=share_seen, share_unseen=share_unseen).items():
            if not 0 <= share <= 1:
                raise ValueError(f'ClipEnsemble: {name}={share}; accepted are numbers in [0, 1]')
        self.seen = frozenset(clean_name(name).lower() for name in seen)
        self.share_seen = share_seen
        self.share_unseen = share_unseen
        config = config_of(model)
        text = OpenCLIPTextEncoder(model, config['embed_dim'], os.fspath(weights))
        text.init_weights()
        visual = _image_tower(model, config)
        _load(visual, weights)
        # Not registered, so that they are no part of checkpoints, optimizers and gradient exchange.
        self._frozen: tuple[Any, OpenCLIPTextEncoder] = (visual, text)
        for part in self._frozen:
            part.eval().requires_grad_(False)
        self._texts = TextCache(text)
        self._maps: WeakTensorKeyDictionary = WeakTensorKeyDictionary()  # of images that somebody still keeps

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ClipEnsemble:
        """Move and convert the CLIP with the model."""
        for part in self._frozen:
            part._apply(fn, recurse)
        self._maps.clear()
        super()._apply(fn, recurse)
        return self

    @torch.no_grad()
    def mix(
        self,
        logits: Sequence[Tensor],
        mask_embeds: Tensor,
        features: ImageFeatures,
        vocabularies: Sequence[Vocabulary],
        colours: Callable[[Tensor], Tensor] | None,
    ) -> list[Tensor]:
        """Class logits of the queries in which the CLIP has a say.

        Args:
            logits (Sequence[Tensor]): ``[n, K_b + 1]`` per image, "no object" last.
            mask_embeds (Tensor): ``[B, n, C]``.
            features (ImageFeatures): Of the B images.
            vocabularies (Sequence[Vocabulary]): Their K_b names.
            colours (Callable): Undoes the normalisation of images.

        Returns:
            list[Tensor]: Shapes of ``logits``.

        Raises:
            ValueError: The features were made without their images.
        """
        if not self.share_seen and not self.share_unseen:
            return list(logits)
        if features.image is None or colours is None:
            raise ValueError('ClipEnsemble: these features were made without their images, which the CLIP looks at')
        maps = self._maps.get(features.image)
        if maps is None:
            maps = self._maps[features.image] = self._encode(at_least_single(colours(features.image)))
        text, mixed = self._frozen[1], []
        for own, embeds, pixels, planes, vocabulary in zip(
            logits, mask_embeds, features.mask_features, maps, vocabularies, strict=True
        ):
            masks = torch.einsum('nc,chw->nhw', at_least_single(embeds), at_least_single(pixels))
            pooled = inside_weights(masks, planes.shape[-2:]) @ planes.flatten(1).T
            names = self._texts(vocabulary)[:-1]
            said = cosine_logits(self._project(pooled), names, text.logit_scale)
            mixed.append(geometric_mixture(own, said, self._shares(vocabulary, own)))
        return mixed

    def _shares(self, vocabulary: Vocabulary, like: Tensor) -> Tensor:
        """Say ``[K]`` in each name; one of several texts that was seen makes a class seen."""
        seen = [any(clean_name(text).lower() in self.seen for text in texts) for texts in vocabulary.texts]
        return like.new_tensor([self.share_seen if known else self.share_unseen for known in seen])

    def _encode(self, images: Tensor) -> Tensor:
        """Map ``[B, C, h, w]`` of images in [0, 1]; vision transformers see them squeezed into their own square."""
        visual = self._frozen[0]
        transformer = isinstance(visual, VisionTransformer)
        if transformer:
            images = F.interpolate(images, visual.image_size, mode='bilinear', antialias=True, align_corners=False)
        mean, std = (
            images.new_tensor(values).view(-1, 1, 1)
            for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )
        options = dict(indices=1, normalize_intermediates=transformer, intermediates_only=True)
        found: Tensor = visual.forward_intermediates((images - mean) / std, **options)['image_intermediates'][-1]
        return found

    def _project(self, pooled: Tensor) -> Tensor:
        """Embeddings among the texts from pooled pixels ``[n, C]``."""
        visual = self._frozen[0]
        if isinstance(visual, TimmModel):
            embeddings: Tensor = visual.head(visual.trunk.forward_head(pooled[..., None, None]))
            return embeddings
        projected: Tensor = pooled @ visual.proj
        return projected


def _image_tower(model: str | Mapping[str, Any], config: Mapping[str, Any]) -> nn.Module:
    """The image tower alone."""
    smallest = dict(layers=1, width=8, heads=1, vocab_size=8, context_length=8)
    whole = open_clip.CLIP(config['embed_dim'], config['vision_cfg'], smallest, config.get('quick_gelu', False))
    visual: nn.Module = whole.visual
    if isinstance(visual, TimmModel):
        if getattr(visual.trunk, 'feature_info', None) and hasattr(visual.trunk, 'stages'):
            return visual
    elif isinstance(visual, VisionTransformer) and visual.pool_type == 'tok' and visual.proj is not None:
        return visual
    raise ValueError(
        f'ClipEnsemble: the image tower of {model!r} gives no map that its head could read; accepted are ConvNeXts and '
        "vision transformers with a class token, such as those of 'convnext_base_w' and 'ViT-B-16'"
    )


def _load(visual: nn.Module, path: str | os.PathLike[str]) -> None:
    """Weights of the image tower; every one must be in the file."""
    state = read_checkpoint(os.fspath(path))
    own = {name: state.get(f'visual.{name}') for name in visual.state_dict()}
    for name, value in visual.state_dict().items():
        found = own[name]
        if found is None or found.shape != value.shape:
            has = 'lacks it' if found is None else f'has {tuple(found.shape)}'
            raise ValueError(
                f"ClipEnsemble: '{path}' does not fit: visual.{name} is {tuple(value.shape)}, the file {has}"
            )
    visual.load_state_dict(own)
