"""Chooses the words of a text one after the other: greedily, by beam search or by sampling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from xdet.io.schema import number
from xdet.models.text import END_TOKEN, START_TOKEN

# Kind, least and most: within these, products and powers of them with logits and lengths are finite numbers.
_LIMITS: dict[str, tuple[Any, float, float]] = dict(
    max_tokens=(int, 1, 1000),
    num_beams=(int, 1, 1000),
    num_texts=(int, 1, 10_000),
    length_penalty=(float, -100, 100),
    temperature=(float, 1e-6, 1e6),
    seed=(int, -(2**63), 2**64 - 1),
    top_p=(float, 1e-6, 1),
)


class NextToken(Protocol):
    """A model of texts that are written row by row."""

    def step(self, ids: Tensor) -> Tensor:
        """Append the tokens ``[R]`` to the rows; returns the logits ``[R, V]`` of what comes next."""

    def reorder(self, rows: Tensor) -> None:
        """Continue row ``rows[i]`` as row i."""


@dataclass(frozen=True)
class GenerationSettings:
    """How texts are generated.

    Attributes:
        max_tokens (int): Most tokens of a text, the end token included.
        num_beams (int): Hypotheses of beam search; 1 is greedy. The paper's captions use 5.
        length_penalty (float): Beam search ranks by the sum of log-probabilities over ``length ** length_penalty``:
            0 prefers short texts, 1 is the mean, more prefers long ones.
        top_p (float | None): Sample from the most probable tokens that together have this probability; None does not
            sample.
        temperature (float): Divides the logits before sampling.
        seed (int): Of sampling. Every item starts from it, so a text does not depend on the batch.
        num_texts (int): Texts per item: samples, or the best of the beam.
    """

    max_tokens: int = 50
    num_beams: int = 1
    length_penalty: float = 1.0
    top_p: float | None = None
    temperature: float = 1.0
    seed: int = 0
    num_texts: int = 1

    def __post_init__(self) -> None:
        for name, (kind, least, most) in _LIMITS.items():
            value = getattr(self, name)
            if value is None and name == 'top_p':
                continue
            limits = f'from {least:g} to {most:g}' if name != 'seed' else 'from -2^63 to 2^64 - 1'
            limits += ', or None' if name == 'top_p' else ''
            object.__setattr__(self, name, number(name, value, kind, least, most, limits))
        if self.top_p is not None and self.num_beams > 1:
            raise ValueError('give either num_beams or top_p: beam search does not sample')
        if self.top_p is None and self.num_texts > self.num_beams:
            raise ValueError(f'num_texts={self.num_texts} needs sampling (top_p) or as many beams (num_beams)')

    @property
    def rows(self) -> int:
        """Rows per item while generating."""
        return max(self.num_beams, self.num_texts)

    def override(self, changes: Mapping[str, Any]) -> GenerationSettings:
        """These settings with some changed.

        Raises:
            ValueError: A name is unknown or a value impossible.
        """
        unknown = sorted(set(changes) - set(self.__dataclass_fields__))
        if unknown:
            raise ValueError(f'unknown generation settings {unknown}; accepted are {sorted(self.__dataclass_fields__)}')
        return GenerationSettings(**{**self.__dict__, **changes})


@dataclass(frozen=True)
class Hypothesis:
    """A finished text.

    Attributes:
        ids (tuple[int, ...]): Tokens after the start token, with the end token unless it was cut off.
        log_prob (float): Sum of their log-probabilities.
    """

    ids: tuple[int, ...]
    log_prob: float

    @property
    def score(self) -> float:
        """Mean log-probability per token."""
        return self.log_prob / max(len(self.ids), 1)


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
    return [
        Hypothesis(_until_end(row), total) for row, total in zip(torch.stack(tokens, 1).tolist(), sums, strict=True)
    ]


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
    pools = [_Pool(settings) for _ in range(num_items)]
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


class _Pool:
    """Finished texts of one item."""

    def __init__(self, settings: GenerationSettings) -> None:
        self._settings = settings
        self._finished: list[tuple[float, Hypothesis]] = []
        self.done = False

    def advance(
        self, texts: Sequence[tuple[int, ...]], candidates: Iterable[tuple[float, int]], vocabulary: int
    ) -> list[tuple[float, int, tuple[int, ...]]]:
        """Take the ends among the candidates; returns the best open ones as total, row and text."""
        beams, going = self._settings.num_beams, []
        for rank, (total, flat) in enumerate(candidates):
            row, token = divmod(flat, vocabulary)
            text = (*texts[row], token)
            if token != END_TOKEN:
                going.append((total, row, text))
            elif rank < beams and not self.done:
                self._add(text, total)
            if len(going) == beams:
                break
        while len(going) < beams:  # a vocabulary smaller than the beam
            going.append((-float('inf'), 0, (*texts[0], END_TOKEN)))
        if len(self._finished) >= beams:
            # Log-probabilities only fall; what an open text can still reach is bounded by its total so far.
            reach = self._settings.max_tokens if self._settings.length_penalty > 0 else len(going[0][2])
            bound = going[0][0] / reach**self._settings.length_penalty
            self.done |= bound <= min(rank for rank, _ in self._finished)
        return going

    def close(self, going: Iterable[tuple[float, int, tuple[int, ...]]]) -> None:
        """Texts that reached the longest length count as they are, unless enough have ended."""
        if not self.done:
            for total, _, text in going:
                if total > -float('inf'):
                    self._add(text, total)

    def best(self) -> list[Hypothesis]:
        """The wanted number of texts, best first."""
        return [hypothesis for _, hypothesis in self._finished[: self._settings.num_texts]]

    def _add(self, text: tuple[int, ...], total: float) -> None:
        rank = total / len(text) ** self._settings.length_penalty
        self._finished.append((rank, Hypothesis(text, total)))
        self._finished = sorted(self._finished, key=lambda pair: -pair[0])[: self._settings.num_beams]


def _until_end(ids: list[int]) -> tuple[int, ...]:
    """Tokens up to and including the first end token."""
    return tuple(ids[: ids.index(END_TOKEN) + 1] if END_TOKEN in ids else ids)
