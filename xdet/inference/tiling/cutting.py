"""How images are cut into tiles that overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xdet.io.schema import number, shown


@dataclass(frozen=True)
class Span:
    """A tile along one axis.

    Attributes:
        start (int): First pixel.
        stop (int): One past the last.
        core (int): From where on its result counts; what is before belongs to the tile before.
        before (int): End of the tile before; ``start`` for the first.
    """

    start: int
    stop: int
    core: int
    before: int


@dataclass(frozen=True)
class Tiles:
    """How an image is cut.

    Attributes:
        size (int): Side of the square tiles, in pixels.
        overlap (int): Pixels that neighbours share at least.
    """

    size: int
    overlap: int

    @classmethod
    def of(cls, value: Any) -> Tiles:
        """From ``1024``, ``(1024, 128)``, or a text ``'1024,128'``; the overlap is an eighth if it is not said.

        Raises:
            ValueError: It is none of these, or the overlap is not smaller than the tile.
        """
        if isinstance(value, Tiles):
            return value
        accepted = "accepted are a size such as 1024, and size and overlap such as (1024, 128) or '1024,128'"
        parts = list(value) if isinstance(value, (tuple, list)) else [value]
        if isinstance(value, str):
            parts = [int(part) if part.strip().isdecimal() else part for part in value.split(',')]
        if len(parts) not in (1, 2) or any(isinstance(part, (str, bool)) or part is None for part in parts):
            raise ValueError(f'tiles is {shown(value)}; {accepted}')
        size = number('size of tiles', parts[0], int, 32)
        overlap = number('overlap of tiles', parts[1], int, 0) if len(parts) == 2 else size // 8
        if overlap >= size:
            raise ValueError(f'tiles of {size} pixels overlap by {overlap}; accepted are overlaps below the size')
        return cls(size, overlap)

    def spans(self, length: int) -> list[Span]:
        """Tiles along an axis; the last one ends where the image does, and so may overlap more."""
        last = max(length - self.size, 0)
        starts = list(range(0, last, self.size - self.overlap)) + [last]
        spans: list[Span] = []
        for start in starts:
            before = spans[-1].stop if spans else start
            spans.append(Span(start, min(start + self.size, length), (start + before) // 2, before))
        return spans


def check_tiles(value: Any, report: Mapping[str, Any]) -> Tiles | None:
    """Tiles that a call asks for.

    Raises:
        ValueError: See :meth:`Tiles.of`; or another option cannot do with tiles.
    """
    if value is None:
        return None
    if report.get('return_datasamples'):
        raise ValueError('return_datasamples goes without tiles: a sample would hold all masks in full size')
    if report.get('min_part'):
        raise ValueError('min_part goes without tiles: what is a speck in one may go on in the next')
    return Tiles.of(value)
