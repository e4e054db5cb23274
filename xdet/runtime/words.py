"""Prompts that are far from what an exported model was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.inference.names.known_words import WordCheck
from xdet.structures import KnownWords

from .texts import Texts


class ExportedWordCheck(WordCheck):
    """The same check with the exported text encoder.

    Args:
        known (Mapping[str, Any]): Training vocabulary of the model as plain data.
        texts (Texts): Embeds names.
    """

    def __init__(self, known: Any, texts: Texts) -> None:
        super().__init__(KnownWords.from_plain(known), None)
        self._texts = texts

    def _embed(self, names: Sequence[str]) -> NDArray[np.float32]:
        return self._texts.directions(names)
