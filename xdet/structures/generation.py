"""Generated texts: how they are asked for, what they are, and which of several is the best. Numbers only, no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xdet.io.schema import number

START_TOKEN, END_TOKEN = 49406, 49407

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


class HypothesisPool:
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


def until_end(ids: list[int]) -> tuple[int, ...]:
    """Tokens up to and including the first end token."""
    return tuple(ids[: ids.index(END_TOKEN) + 1] if END_TOKEN in ids else ids)
