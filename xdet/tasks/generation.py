"""Chooses the words of a text one after the other: greedily, by beam search or by sampling."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from xdet.structures.generation import (
    END_TOKEN,
    START_TOKEN,
    GenerationSettings,
    Hypothesis,
    HypothesisPool,
    until_end,
)

__all__ = ['GenerationSettings', 'Hypothesis', 'NextToken', 'generate']


class NextToken(Protocol):
    """A model of texts that are written row by row."""

    def step(self, ids: Tensor) -> Tensor:
        """Append the tokens ``[R]`` to the rows; returns the logits ``[R, V]`` of what comes next."""

    def reorder(self, rows: Tensor) -> None:
        """Continue row ``rows[i]`` as row i."""


def generate(
    model: NextToken, num_items: int, settings: GenerationSettings, device: torch.device
) -> list[list[Hypothesis]]:
    """Generate texts.

    Args:
        model (NextToken): Has ``num_items * settings.rows`` rows, those of one item next to each other.
        num_items (int): Items N (images or regions).
        settings (GenerationSettings): How.
        device (torch.device): Where the model runs.

    Returns:
        list[list[Hypothesis]]: ``settings.num_texts`` texts per item, best first.
    """
    if settings.num_beams > 1:
        return _beam_search(model, num_items, settings, device)
    texts = _one_by_one(model, num_items, settings, device)
    items = [texts[start : start + settings.rows] for start in range(0, len(texts), settings.rows)]
    return [sorted(item, key=lambda text: -text.score) for item in items]


def _one_by_one(
    model: NextToken, num_items: int, settings: GenerationSettings, device: torch.device
) -> list[Hypothesis]:
    """Greedy search, or sampling: every row on its own; stops when all rows have ended."""
    choose = _greedy if settings.top_p is None else _Nucleus(num_items, settings)
    rows = num_items * settings.rows
    ids = torch.full((rows,), START_TOKEN, device=device)
    going = torch.ones(rows, dtype=torch.bool, device=device)
    tokens, log_probs = [], []
    for _ in range(settings.max_tokens):
        logits = model.step(ids).float()
        ids = choose(logits)
        log_prob = logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(dim=1)
        tokens.append(torch.where(going, ids, END_TOKEN))
        log_probs.append(torch.where(going, log_prob, 0.0))
        going &= ids != END_TOKEN
        if not going.any():
            break
    sums = torch.stack(log_probs).sum(0).tolist()
    return [Hypothesis(until_end(row), total) for row, total in zip(torch.stack(tokens, 1).tolist(), sums, strict=True)]


def _greedy(logits: Tensor) -> Tensor:
    return logits.argmax(dim=1)


class _Nucleus:
    """Top-p sampling (Holtzman et al., 2020) with a random stream per item, the same on every device."""

    def __init__(self, num_items: int, settings: GenerationSettings) -> None:
        self._settings = settings
        self._generators = [torch.Generator().manual_seed(settings.seed) for _ in range(num_items)]

    def __call__(self, logits: Tensor) -> Tensor:
        assert self._settings.top_p is not None
        probs, order = (logits / self._settings.temperature).softmax(dim=1).sort(dim=1, descending=True)
        before = probs.cumsum(dim=1) - probs
        probs = torch.where(before < self._settings.top_p, probs, 0.0)  # the first token is always in
        drawn = torch.cat([torch.rand(self._settings.rows, generator=source) for source in self._generators])
        cumulative = probs.cumsum(dim=1)
        threshold = drawn.to(probs.device)[:, None] * cumulative[:, -1:]
        choice = (cumulative <= threshold).sum(dim=1, keepdim=True)
        last = (probs > 0).sum(dim=1, keepdim=True) - 1  # rounding must not leave the nucleus
        return order.gather(1, torch.minimum(choice, last))[:, 0]


def _beam_search(
    model: NextToken, num_items: int, settings: GenerationSettings, device: torch.device
) -> list[list[Hypothesis]]:
    """Beam search: the ``num_beams`` best open texts go on until none can beat the finished ones."""
    beams = settings.num_beams
    ids = torch.full((num_items * beams,), START_TOKEN, device=device)
    totals = torch.full((num_items, beams), -torch.inf, device=device)
    totals[:, 0] = 0.0  # all rows of an item are equal at first; only one may branch
    texts: list[list[tuple[int, ...]]] = [[()] * beams for _ in range(num_items)]
    pools = [HypothesisPool(settings) for _ in range(num_items)]
    for length in range(1, settings.max_tokens + 1):
        log_probs = model.step(ids).float().log_softmax(dim=1).unflatten(0, (num_items, beams))
        vocabulary = log_probs.shape[-1]
        # Twice as many candidates as beams: at most half of them can end here.
        best, flat = (totals[..., None] + log_probs).flatten(1).topk(min(2 * beams, beams * vocabulary), dim=1)
        chosen = [
            pool.advance(row_texts, zip(scores, candidates, strict=True), vocabulary)
            for pool, row_texts, scores, candidates in zip(pools, texts, best.tolist(), flat.tolist(), strict=True)
        ]
        texts = [[text for _, _, text in item] for item in chosen]
        if length == settings.max_tokens or all(pool.done for pool in pools):
            break
        totals = torch.tensor([[total for total, _, _ in item] for item in chosen], device=device)
        parents = torch.tensor([item * beams + row for item, rows in enumerate(chosen) for _, row, _ in rows])
        model.reorder(parents.to(device))
        ids = torch.tensor([text[-1] for item in texts for text in item], device=device)
    for pool, item in zip(pools, chosen, strict=True):
        pool.close(item)
    return [pool.best() for pool in pools]
