"""What a result must reach to be reported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from xdet.io.schema import number, shown

from .vocabulary import same_text


@dataclass(frozen=True)
class Thresholds:
    """Least values of what is reported of one image; None leaves the task's own rule.

    Attributes:
        score (float | Mapping[str, float] | None): Least score, from 0 to 1: one for all, or by name, where names that
            are not mentioned keep the task's own rule.
        mask (float | None): Least probability, above 0 and below 1, of the pixels of a mask.
        overlap (float | None): Least share of its own mask that a panoptic segment must keep.
        presence (float | None): Names and phrases whose presence is not above this are not there: nothing is reported
            for them.

    Raises:
        ValueError: A number is impossible.
    """

    score: float | Mapping[str, float] | None = None
    mask: float | None = None
    overlap: float | None = None
    presence: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.score, Mapping):
            for name, value in self.score.items():
                if not isinstance(name, str):
                    raise ValueError(f'score has the key {shown(name)}; accepted are a number and numbers by name')
                number(f'score of {name!r}', value, float, 0, 1)
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not isinstance(value, Mapping):
                number(field.name, value, float, 0, 1)
        if self.mask in (0, 1):
            raise ValueError(f'mask is {self.mask}; accepted are numbers between 0 and 1')

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse scores of names that are not asked for.

        Args:
            names (Sequence[str]): All names and phrases of a request.

        Raises:
            ValueError: There is one; the message says what is accepted.
        """
        if not isinstance(self.score, Mapping):
            return
        known = {same_text(name) for name in names}
        foreign = [name for name in self.score if same_text(name) not in known]
        if foreign:
            accepted = ', '.join(list(names)[:10]) + (', ...' if len(names) > 10 else '') or 'numbers without a name'
            raise ValueError(f'score names {shown(foreign[0])}, which is not asked for; accepted are {accepted}')

    def scores(self, names: Sequence[str], default: float) -> list[float]:
        """Least score of every name."""
        if not isinstance(self.score, Mapping):
            return [default if self.score is None else float(self.score)] * len(names)
        known = {same_text(name): value for name, value in self.score.items()}
        return [float(known.get(same_text(name), default)) for name in names]

    @property
    def mask_logit(self) -> float:
        """What the logits of the pixels of a mask must be above."""
        return 0.0 if self.mask is None else math.log(self.mask / (1 - self.mask))

    def plain(self) -> dict[str, Any]:
        """Those that are set, for JSON."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in given.items()
            if value is not None
        }
