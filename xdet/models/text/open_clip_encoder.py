"""Text encoders made from the text towers of open_clip's models."""

from __future__ import annotations

import difflib
import inspect
import math
import pickle
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.factory import load_state_dict
from open_clip.model import CLIPTextCfg
from open_clip.transformer import LayerNorm, QuickGELU, TextTransformer
from safetensors import SafetensorError
from torch import Tensor, nn

from xdet.registry import MODELS

from .text_encoder import CausalTextEncoder
from .tokenizer import VOCAB_SIZE

# Settings of a tower: the value that is needed, and what another one means.
_NEEDED: dict[str, tuple[Any, str]] = {
    'hf_model_name': (None, 'is a Hugging Face model'),
    'no_causal_mask': (False, 'is not causal: its tokens see those that follow'),
    'embed_cls': (False, 'pools at a token of its own, as CoCa does'),
    'hf_tokenizer_name': (None, "does not use CLIP's tokenizer"),
    'tokenizer_kwargs': (None, "does not use CLIP's tokenizer as it is"),
    'vocab_size': (VOCAB_SIZE, "does not use CLIP's tokenizer"),
    'pool_type': ('argmax', 'does not pool at the end token'),
    'proj_type': ('linear', 'has no linear projection'),
    'proj_bias': (False, 'has a projection with bias'),
    'block_type': (None, 'has blocks of its own kind'),
    **dict.fromkeys(
        ('qk_norm', 'scaled_cosine_attn', 'scale_heads', 'scale_attn_inner', 'scale_attn', 'scale_fc'),
        (False, 'has blocks of its own kind'),
    ),
}


@MODELS.register_module()
class OpenCLIPTextEncoder(CausalTextEncoder):
    """Text tower of an open_clip model in place of X-Decoder's own; the rest of that model is not built.

    Any model works whose tower is causal, pools at the end token and uses CLIP's tokenizer: those of CLIP, OpenCLIP,
    MetaCLIP, EVA, ConvNeXt, MobileCLIP and others. Nothing is downloaded.

    Args:
        model (str | dict): Name of a model that open_clip knows, such as ``'ViT-B-32'`` (``open_clip.list_models()``;
            ``open_clip.add_model_config`` adds others), or its config with the keys ``embed_dim`` and ``text_cfg``.
        embed_dims (int): Width C of the features; that of the decoder. Where the tower's differs, a linear layer
            follows.
        pretrained (str, optional): Local checkpoint of open_clip, read by :meth:`init_weights`.
        logit_scale (float): Logarithm of the scale of cosines at the start; replaced by the checkpoint's.
        with_cp (bool): Recompute activations in the backward pass to save memory.

    Raises:
        ValueError: The model is unknown, or its text tower cannot be used; the message says why.
    """

    def __init__(
        self,
        model: str | Mapping[str, Any],
        embed_dims: int = 512,
        pretrained: str | None = None,
        logit_scale: float = math.log(1 / 0.07),
        with_cp: bool = False,
    ) -> None:
        config = config_of(model)
        tower = _tower_of(model, config)
        activation = QuickGELU if config.get('quick_gelu') else nn.GELU
        accepted = inspect.signature(TextTransformer).parameters
        super().__init__(
            **{name: value for name, value in tower.items() if name in accepted},
            output_dim=config['embed_dim'],
            act_layer=partial(activation, **(tower['act_kwargs'] or {})),
            norm_layer=partial(LayerNorm, **(tower['norm_kwargs'] or {})),
        )
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)))
        self.adapter: nn.Module = nn.Identity()
        if config['embed_dim'] != embed_dims:
            self.adapter = nn.Linear(config['embed_dim'], embed_dims, bias=False)
        self.pretrained = pretrained
        self.set_grad_checkpointing(with_cp)

    @property
    def embed_dims(self) -> int:
        """Width C of the features."""
        return self.adapter.out_features if isinstance(self.adapter, nn.Linear) else super().embed_dims

    def project(self, x: Tensor) -> Tensor:
        """Token features ``[..., C]`` from the output of the transformer ``[..., width]``."""
        return self.adapter(super().project(x))

    def init_weights(self) -> None:
        """Load ``pretrained``; MMEngine calls this before a training, not when trained weights are used.

        Raises:
            ValueError: The file is missing, cannot be read, or does not fit the tower.
        """
        if self.pretrained is None:
            return
        weights = {name.removeprefix('text.'): value for name, value in read_checkpoint(self.pretrained).items()}
        own = {name: value for name, value in self.state_dict().items() if not name.startswith('adapter.')}
        if 'logit_scale' in weights:
            weights['logit_scale'] = weights['logit_scale'].reshape(())
        wrong = [name for name, value in own.items() if name not in weights or weights[name].shape != value.shape]
        if wrong:
            raise ValueError(
                f"pretrained text tower '{self.pretrained}' lacks {wrong[0]} {tuple(own[wrong[0]].shape)}"
                + (f' and {len(wrong) - 1} more' if len(wrong) > 1 else '')
                + '; is it of another model?'
            )
        self.load_state_dict({name: weights[name] for name in own}, strict=False)


def config_of(model: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Config of a model by its name in open_clip; one that is a config already is checked only.

    Raises:
        ValueError: open_clip has no such model, or the config lacks a part.
    """
    if not isinstance(model, str):
        missing = {'embed_dim', 'text_cfg'} - set(model)
        if missing:
            raise ValueError(f'config of an open_clip model lacks {", ".join(sorted(missing))}')
        return model
    config = open_clip.get_model_config(model)
    if config is None:
        close = difflib.get_close_matches(model, open_clip.list_models(), n=3, cutoff=0.4)
        hint = f'did you mean {" or ".join(close)}?' if close else 'open_clip.list_models() names them'
        raise ValueError(f"open_clip has no model '{model}'; {hint}")
    return config


def _tower_of(model: str | Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the text tower; ValueError unless it is causal, pools at the end token, uses CLIP's tokenizer."""
    name = f"'{model}'" if isinstance(model, str) else 'a custom open_clip model'
    try:
        tower = vars(CLIPTextCfg(**config['text_cfg']))
    except TypeError as error:
        raise ValueError(f'text_cfg of {name} is not understood: {error}') from None
    for setting, (needed, meaning) in _NEEDED.items():
        if tower[setting] != needed:
            raise ValueError(
                f'the text tower of {name} {meaning} ({setting}={tower[setting]!r}); accepted are causal towers with '
                "CLIP's tokenizer, such as that of 'ViT-B-32'"
            )
    return tower


def read_checkpoint(path: str) -> dict[str, Tensor]:
    """Entries of a checkpoint of open_clip.

    Raises:
        ValueError: There is no such file, or it cannot be read.
    """
    if not Path(path).is_file():
        raise ValueError(f"pretrained text tower '{path}' is no file; give a local checkpoint of open_clip, or None")
    try:
        weights: dict[str, Tensor] = load_state_dict(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, OSError, SafetensorError, StopIteration) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"pretrained text tower '{path}' cannot be read: {reason}") from error
    return weights
