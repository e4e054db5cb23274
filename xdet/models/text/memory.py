"""Remembers whole texts, so that phrases and questions asked of many images are encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .text_encoder import CausalTextEncoder

_TEXTS_PER_PASS = 256


class EncodedText(NamedTuple):
    """Features of one text: ``tokens`` ``[L, C]`` at its real length, and ``pooled`` ``[C]``; not normalised."""

    tokens: Tensor
    pooled: Tensor


class TextMemory:
    """Encodes texts and, in evaluation, remembers the latest of them across forward passes.

    What is remembered belongs to the text encoder's current weights, device and precision and is forgotten when they
    change. Weights changed through ``parameter.data`` go unnoticed: call :meth:`clear` then.

    Args:
        text_encoder (CausalTextEncoder): The encoder.
        capacity (int): Most texts to remember; the least recently used are forgotten first.
    """

    def __init__(self, text_encoder: CausalTextEncoder, capacity: int = 1000) -> None:
        self.text_encoder = text_encoder
        self.capacity = capacity
        self._memory: OrderedDict[str, EncodedText] = OrderedDict()
        self._state: tuple | None = None

    def encode(self, texts: Sequence[str]) -> dict[str, EncodedText]:
        """Every distinct text with its features; with gradient, and then from scratch, where gradients are enabled."""
        if torch.is_grad_enabled():
            return self._encode(list(dict.fromkeys(texts)))
        self._forget_if_changed()
        known = {text: self._memory[text] for text in dict.fromkeys(texts) if text in self._memory}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        with torch.inference_mode(False), torch.no_grad():  # ordinary tensors, also inside a caller's inference mode
            for start in range(0, len(new), _TEXTS_PER_PASS):
                known |= self._encode(new[start : start + _TEXTS_PER_PASS])
        for text, encoded in known.items():
            self._memory[text] = encoded
            self._memory.move_to_end(text)
        while len(self._memory) > self.capacity:
            self._memory.popitem(last=False)
        return known

    def clear(self) -> None:
        """Forget all texts."""
        self._memory.clear()
        self._state = None

    def _encode(self, texts: Sequence[str]) -> dict[str, EncodedText]:
        if not texts:
            return {}
        encoded = self.text_encoder(texts)
        lengths = encoded.valid.sum(dim=1).tolist()
        rows = zip(texts, encoded.tokens, encoded.pooled, lengths, strict=True)
        # Copies, so that a short text does not keep the padded batch alive; with gradient the slices will do.
        keep = (lambda x: x) if torch.is_grad_enabled() else Tensor.clone
        return {text: EncodedText(keep(tokens[:length]), keep(pooled)) for text, tokens, pooled, length in rows}

    def _forget_if_changed(self) -> None:
        device = next(self.text_encoder.parameters()).device
        autocast = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
        state = (autocast, weights_state(self.text_encoder))
        if state != self._state:
            self.clear()
            self._state = state


def weights_state(text_encoder: CausalTextEncoder) -> tuple:
    """Something that differs after weights were changed, moved or converted (but not through ``parameter.data``)."""
    # Tensors made in inference mode carry no version counter.
    return tuple(
        (p.data_ptr(), 0 if p.is_inference() else p._version, p.dtype, p.device) for p in text_encoder.parameters()
    )
