"""Causal text encoders: what they have in common, and the one of X-Decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from open_clip.transformer import LayerNorm, QuickGELU, TextTransformer
from torch import Tensor, nn

from xdet.registry import MODELS

from .embedding_file import weights_fingerprint
from .stream import TextStream
from .tokenizer import VOCAB_SIZE, tokenize


@dataclass(frozen=True)
class TextFeatures:
    """Encoded texts.

    Attributes:
        tokens (Tensor): ``[n, L, C]`` projected token features, not normalised. Those after a text's end token are
            meaningless.
        pooled (Tensor): ``[n, C]`` projected feature of the end token, not normalised.
        valid (Tensor): ``[n, L]`` bool, True up to and including the end token.
    """

    tokens: Tensor
    pooled: Tensor
    valid: Tensor


class CausalTextEncoder(TextTransformer):
    """Causal text transformer; a text is represented by the output at its end token.

    Texts run at their real length instead of ``context_length``: attention is causal, so nothing behind the end token
    has any influence.

    Attributes:
        width (int): Width of the transformer and of its table of tokens, ``token_embedding``.
        context_length (int): Most tokens per text, start and end token included.
        logit_scale (nn.Parameter): Logarithm of the scale of cosines between images and texts.
    """

    @property
    def embed_dims(self) -> int:
        """Width C of the features."""
        return self.text_projection.shape[1]

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids ``[n, L]`` padded with 0, see :func:`~xdet.models.text.tokenizer.tokenize`."""
        return tokenize(texts, self.context_length)

    def forward(self, texts: Tensor | Sequence[str]) -> TextFeatures:
        """Encode texts.

        Args:
            texts (Tensor | Sequence[str]): Token ids int64 ``[n, L]`` or the texts themselves.
        """
        ids = texts if isinstance(texts, Tensor) else self.tokenize(texts)
        ids = ids.to(self.positional_embedding.device)
        length = ids.shape[1]
        tokens = self.project(self.transformer(self.embed(ids), attn_mask=self.attn_mask[:length, :length]))
        # The end token has the highest id; argmax finds the first one, also where padding repeats it.
        ends = ids.argmax(dim=1)
        valid = torch.arange(length, device=ids.device) <= ends[:, None]
        return TextFeatures(tokens, tokens[torch.arange(len(ids), device=ids.device), ends], valid)

    def stream(self, rows: int, length: int) -> TextStream:
        """Encode ``rows`` texts of up to ``length`` tokens step by step, see :class:`TextStream`."""
        return TextStream(self, rows, length)

    def embed(self, ids: Tensor, start: int = 0) -> Tensor:
        """Transformer input ``[n, L, width]`` for token ids ``[n, L]`` that stand at positions from ``start``."""
        return self.token_embedding(ids) + self.positional_embedding[start : start + ids.shape[1]]

    def project(self, x: Tensor) -> Tensor:
        """Token features ``[..., C]`` from the output of the transformer ``[..., width]``."""
        return self.ln_final(x) @ self.text_projection

    def fingerprint(self) -> str:
        """Hash of all that the features depend on; equal for equal weights, whatever device they are on."""
        weights = {name: value for name, value in self.state_dict().items() if name != 'logit_scale'}
        activation = self.transformer.resblocks[0].mlp.gelu
        return weights_fingerprint(weights, f'{self.heads} {self.context_length} {activation} {self.ln_final.eps}')


@MODELS.register_module()
class XDecoderTextEncoder(CausalTextEncoder):
    """Text encoder of X-Decoder: a CLIP text transformer with its projection and the learned logit scale.

    Args:
        width (int): Width of the transformer.
        num_heads (int): Attention heads.
        num_layers (int): Transformer layers.
        embed_dims (int): Width after the projection; that of the decoder.
        context_length (int): Most tokens per text, start and end token included.
        with_cp (bool): Recompute activations in the backward pass to save memory.
    """

    def __init__(
        self,
        width: int = 512,
        num_heads: int = 8,
        num_layers: int = 12,
        embed_dims: int = 512,
        context_length: int = 77,
        with_cp: bool = False,
    ) -> None:
        super().__init__(
            context_length=context_length,
            vocab_size=VOCAB_SIZE,
            width=width,
            heads=num_heads,
            layers=num_layers,
            output_dim=embed_dims,
            act_layer=QuickGELU,
            # open_clip's class keeps the input's dtype; torch computes the statistics of half precision in float32.
            norm_layer=partial(LayerNorm, eps=1e-12),
        )
        self.logit_scale = nn.Parameter(torch.ones(()))
        self.set_grad_checkpointing(with_cp)
