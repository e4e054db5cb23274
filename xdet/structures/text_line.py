"""A line of text that is drawn below an image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextLine:
    """A paragraph of the strip below an image.

    Attributes:
        text (str): Wrapped at words when it is too long.
        share (float | None): From 0 to 1: length of a bar behind the text.
        bold (bool): For headings.
    """

    text: str
    share: float | None = None
    bold: bool = False

    @classmethod
    def scored(cls, text: str, score: float) -> TextLine:
        """A text behind its score from 0 to 1, which the bar shows as well."""
        return cls(f'{score:.2f} {text}', share=score)
