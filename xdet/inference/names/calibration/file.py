"""The file beside weights that keeps what was learned of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xdet.io.reading import expand, is_address, read_json, shorten
from xdet.io.schema import number, require
from xdet.io.writing import write_json
from xdet.structures import Vocabulary, clean_name

from .rule import KINDS, Threshold

_LOGGER = logging.getLogger(__name__)

FORMAT = 1
"""Of the file."""

TEMPERATURES = (0.05, 20.0)
"""Least and greatest temperature."""


def names_key(vocabulary: Vocabulary) -> str:
    """What a temperature is kept under: a hash of the class names in any order."""
    names = sorted(clean_name(text).lower() for texts in vocabulary.texts for text in texts)
    return hashlib.sha256('\n'.join(names).encode()).hexdigest()[:16]


class Calibration:
    """Thresholds of presence and temperatures of one model, and the file beside its weights that keeps them.

    Args:
        weights_sha256 (str | None): Of the weights that they belong to.
        thresholds (Mapping[str, Threshold], optional): By kind, see :data:`KINDS`.
        temperatures (Mapping[str, float], optional): Of names of pixels, by :func:`names_key` of the vocabulary.
    """

    def __init__(
        self,
        weights_sha256: str | None,
        thresholds: Mapping[str, Threshold] | None = None,
        temperatures: Mapping[str, float] | None = None,
    ) -> None:
        self.weights_sha256 = weights_sha256
        self.thresholds = dict(thresholds or {})
        self.temperatures = dict(temperatures or {})

    def presence(self, task: str) -> float | None:
        """Threshold of a task, if there is one."""
        kinds = [kind for kind, tasks in KINDS.items() if task in tasks and kind in self.thresholds]
        return self.thresholds[kinds[0]].presence if kinds else None

    def with_threshold(self, kind: str, threshold: Threshold) -> Calibration:
        """A copy with another threshold."""
        return Calibration(self.weights_sha256, {**self.thresholds, kind: threshold}, self.temperatures)

    def temperature(self, vocabulary: Vocabulary | None) -> float:
        """Temperature of a vocabulary; 1 where none was learned."""
        return 1.0 if vocabulary is None else self.temperatures.get(names_key(vocabulary), 1.0)

    def with_temperature(self, vocabulary: Vocabulary, temperature: float) -> Calibration:
        """A copy with another temperature."""
        temperatures = {**self.temperatures, names_key(vocabulary): temperature}
        return Calibration(self.weights_sha256, self.thresholds, temperatures)

    def save(self, path: str | Path) -> None:
        """Write the file; it is whole or not there.

        Raises:
            OSError: It cannot be written.
        """
        thresholds = {kind: asdict(threshold) for kind, threshold in self.thresholds.items()}
        content: dict[str, Any] = dict(format=FORMAT, weights_sha256=self.weights_sha256, thresholds=thresholds)
        if self.temperatures:
            content['temperatures'] = self.temperatures
        write_json(path, content, indent=1)

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a file.

        Raises:
            OSError: It cannot be read.
            ValueError: It is none of these files.
        """
        content = read_json(path, max_bytes=1 << 24)
        if require(content, 'format', int, str(path)) != FORMAT:
            raise ValueError(f"{path}: 'format' is {content['format']}; this version of xdet reads {FORMAT}")
        thresholds = {}
        for kind, entry in require(content, 'thresholds', dict, str(path)).items():
            where = f"{path}: thresholds of '{shorten(kind, 40)}'"
            if kind not in KINDS:
                raise ValueError(f'{where}: accepted are {", ".join(KINDS)}')
            thresholds[kind] = Threshold(
                presence=number(f"{where}: 'presence'", require(entry, 'presence', float, where), float, 0, 1),
                alpha=number(f"{where}: 'alpha'", require(entry, 'alpha', float, where), float, 0, 1),
                images=require(entry, 'images', int, where),
                absent=require(entry, 'absent', int, where),
                background=[str(name) for name in require(entry, 'background', list, where)],
            )
        temperatures = {
            str(key): number(f"{path}: temperature of '{shorten(key, 40)}'", value, float, *TEMPERATURES)
            for key, value in require(content, 'temperatures', dict, str(path), {}).items()
        }
        return cls(require(content, 'weights_sha256', str, str(path), None), thresholds, temperatures)


def path_beside(weights: str | Path) -> Path | None:
    """Where the calibration of weights lies; None for weights at an address."""
    return None if is_address(str(weights)) else expand(weights).with_suffix('.calibration.json')


def load_beside(weights: str | None, sha256: Callable[[], str | None]) -> Calibration | None:
    """The calibration beside a file of weights, if there is one and it belongs to them.

    Args:
        weights (str | None): Path or address.
        sha256 (Callable[[], str | None]): Of the weights; asked for only if there is a calibration.

    Raises:
        ValueError: The file is damaged.
    """
    path = path_beside(weights) if weights is not None else None
    if path is None or not path.is_file():
        return None
    calibration = Calibration.load(path)
    if calibration.weights_sha256 != sha256():
        _LOGGER.warning(f'{path} belongs to other weights and is not used; run xdet calibrate again')
        return None
    return calibration
