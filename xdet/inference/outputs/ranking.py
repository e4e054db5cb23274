"""Ranks the images of a call for every text."""

from __future__ import annotations

from heapq import heappush, heappushpop
from typing import Any

import numpy as np

from xdet.visualization.sheets import ranking_sheet, thumbnail

SHOWN = 12
"""Images on a sheet."""


class Ranking:
    """Scores of all images of a run, and small pictures of the best ones.

    Args:
        with_pictures (bool): Keep pictures for :meth:`sheets`; memory holds :data:`SHOWN` per text, however many
            images there are.
    """

    def __init__(self, with_pictures: bool = False) -> None:
        self.with_pictures = with_pictures
        self._texts: list[str] = []
        self._rows: list[tuple[int, str, list[float]]] = []
        self._pictures: dict[int, np.ndarray] = {}
        self._shown: list[list[tuple[float, int]]] = []  # per text a heap: score and negative index of the best images

    def add(self, prediction: dict[str, Any], image: np.ndarray) -> None:
        """Take the result of one image.

        Args:
            prediction (dict): With ``index``, ``image`` and ``texts``.
            image (np.ndarray): RGB uint8 ``[H, W, 3]``.
        """
        self._texts = [row['text'] for row in prediction['texts']]
        scores = [row['score'] for row in prediction['texts']]
        self._rows.append((prediction['index'], prediction['image'], scores))
        if self.with_pictures:
            self._keep_picture(prediction['index'], scores, image)

    def rankings(self) -> list[dict[str, Any]]:
        """For every text, all images by falling score: ``text`` and ``images`` (``rank``, ``index``, ``image``,
        ``score``).
        """
        return [
            dict(
                text=text,
                images=[
                    dict(rank=rank, index=index, image=name, score=scores[column])
                    for rank, (index, name, scores) in enumerate(self._sorted(column), start=1)
                ],
            )
            for column, text in enumerate(self._texts)
        ]

    def sheets(self) -> list[np.ndarray]:
        """A picture per text with its best images, RGB uint8."""
        sheets = []
        for ranking in self.rankings():
            best = ranking['images'][:SHOWN]
            sheets.append(
                ranking_sheet(
                    ranking['text'],
                    [self._pictures[entry['index']] for entry in best],
                    [entry['score'] for entry in best],
                    [entry['image'] for entry in best],
                )
            )
        return sheets

    def summary(self) -> list[str]:
        """Lines that tell a person which images fit best."""
        lines = []
        for ranking in self.rankings():
            lines.append(f'best for {ranking["text"]!r}:')
            lines += [f'  {row["rank"]}  {row["score"]:+.3f}  {row["image"]}' for row in ranking['images'][:SHOWN]]
        return lines

    def _keep_picture(self, index: int, scores: list[float], image: np.ndarray) -> None:
        """Keep a small picture if the image is among the best for a text, and forget those that no longer are."""
        self._shown = self._shown or [[] for _ in scores]
        for heap, score in zip(self._shown, scores, strict=True):
            if len(heap) < SHOWN:
                heappush(heap, (score, -index))
            else:
                heappushpop(heap, (score, -index))
        shown = {-negative for heap in self._shown for _, negative in heap}
        if index in shown:
            self._pictures = {key: picture for key, picture in self._pictures.items() if key in shown}
            self._pictures[index] = thumbnail(image)

    def _sorted(self, column: int) -> list[tuple[int, str, list[float]]]:
        return sorted(self._rows, key=lambda row: (-row[2][column], row[0]))
