"""Chooses words with numpy, as :mod:`xdet.tasks.generation` does with torch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xdet.structures.generation import (
    END_TOKEN,
    START_TOKEN,
    GenerationSettings,
    Hypothesis,
    HypothesisPool,
    until_end,
)

from .model import softmax

Floats = NDArray[np.float32]


class NextToken(Protocol):
    """A model of texts that are written row by row."""

    def step(self, ids: NDArray[np.int64]) -> Floats:
        """Append the tokens ``[R]`` to the rows; returns the logits ``[R, V]`` of what comes next."""

    def reorder(self, rows: NDArray[np.int64]) -> None:
        """Continue row ``rows[i]`` as row i."""


def generate(model: NextToken, settings: GenerationSettings) -> list[Hypothesis]:
    """``settings.num_texts`` texts of one image or region, best first; the model has ``settings.rows`` rows."""
    if settings.num_beams > 1:
        return _beam_search(model, settings)
    return sorted(_one_by_one(model, settings), key=lambda text: -text.score)


def _one_by_one(model: NextToken, settings: GenerationSettings) -> list[Hypothesis]:
    """Greedy search, or sampling: every row on its own; stops when all rows have ended."""
    rows = settings.rows
    # torch's generator of the same seed gives the same numbers.
    source = np.random.RandomState(settings.seed & 0xFFFFFFFF)
    ids: NDArray[np.int64] = np.full(rows, START_TOKEN)
    going = np.ones(rows, dtype=bool)
    tokens, totals = [], np.zeros(rows)
    for _ in range(settings.max_tokens):
        logits = model.step(ids)
        ids = logits.argmax(axis=1) if settings.top_p is None else _sample(logits, settings, source)
        log_probs = _log_softmax(logits)[np.arange(rows), ids]
        tokens.append(np.where(going, ids, END_TOKEN))
        totals += np.where(going, log_probs, 0)
        going &= ids != END_TOKEN
        if not going.any():
            break
    return [
        Hypothesis(until_end(row), float(total))
        for row, total in zip(np.stack(tokens, axis=1).tolist(), totals, strict=True)
    ]


def _sample(logits: Floats, settings: GenerationSettings, source: np.random.RandomState) -> NDArray[np.int64]:
    """Top-p sampling, see :class:`xdet.tasks.generation._Nucleus`."""
    assert settings.top_p is not None
    probs = softmax(logits / np.float32(settings.temperature))
    order = np.argsort(-probs, axis=1, kind='stable')
    probs = np.take_along_axis(probs, order, axis=1)
    before = probs.cumsum(axis=1) - probs
    probs = np.where(before < settings.top_p, probs, 0)  # the first token is always in
    raw: Any = source.randint(0, 2**32, size=len(probs), dtype=np.uint32)
    drawn = (raw & (2**24 - 1)).astype(np.float32) / np.float32(2**24)
    cumulative = probs.cumsum(axis=1)
    choice = (cumulative <= drawn[:, None] * cumulative[:, -1:]).sum(axis=1)
    choice = np.minimum(choice, (probs > 0).sum(axis=1) - 1)  # rounding must not leave the nucleus
    return np.take_along_axis(order, choice[:, None], axis=1)[:, 0]


def _beam_search(model: NextToken, settings: GenerationSettings) -> list[Hypothesis]:
    """Beam search: the ``num_beams`` best open texts go on until none can beat the finished ones."""
    beams = settings.num_beams
    ids: NDArray[np.int64] = np.full(beams, START_TOKEN)
    totals: Floats = np.full(beams, -np.inf, dtype=np.float32)
    totals[0] = 0  # all rows are equal at first; only one may branch
    texts: list[tuple[int, ...]] = [()] * beams
    pool = HypothesisPool(settings)
    for length in range(1, settings.max_tokens + 1):
        log_probs = _log_softmax(model.step(ids))
        vocabulary = log_probs.shape[1]
        every = (totals[:, None] + log_probs).ravel()
        number = min(2 * beams, len(every))  # at most half of them can end here
        flat = np.argpartition(-every, number - 1)[:number]
        flat = flat[np.argsort(-every[flat], kind='stable')]
        chosen = pool.advance(texts, zip(every[flat].tolist(), flat.tolist(), strict=True), vocabulary)
        texts = [text for _, _, text in chosen]
        if length == settings.max_tokens or pool.done:
            break
        totals = np.array([total for total, _, _ in chosen], dtype=np.float32)
        model.reorder(np.array([row for _, row, _ in chosen]))
        ids = np.array([text[-1] for text in texts])
    pool.close(chosen)
    return pool.best()


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
