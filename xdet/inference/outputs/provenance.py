"""Where a result comes from: the program, the weights, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xdet.inference.inputs.regions import Points, Regions
from xdet.structures import TextPrompts
from xdet.version import __version__


@dataclass(frozen=True)
class Origin:
    """A model and its weights.

    Attributes:
        model (str): Name of the config.
        weights (str | None): Path or URL; None for an untrained model.
        knows (str): What it knows, in one line, for results that are read without the documents; empty for models that
            do not come with the package.
        precision (str): ``'single'``, or another in which the model computes.
    """

    model: str
    weights: str | None
    knows: str = ''
    precision: str = 'single'

    @cached_property
    def weights_sha256(self) -> str | None:
        """Of the file; hashing takes about 1 s per GB and is done once."""
        if self.weights is None:
            return None
        from xdet.compat.checkpoint import weights_sha256

        return weights_sha256(self.weights)

    def describe(self) -> dict[str, Any]:
        """What stands in every result."""
        facts: dict[str, Any] = dict(
            xdet=__version__,
            model=self.model,
            weights=None if self.weights is None else Path(self.weights).name,
            weights_sha256=self.weights_sha256,
        )
        facts |= dict(precision=self.precision) if self.precision != 'single' else {}
        return facts | (dict(note=self.knows) if self.knows else {})


def asked(prompts: TextPrompts) -> dict[str, Any]:
    """Prompts of an image as plain data; class names stand in the result itself, masks are only counted."""
    plain: dict[str, Any] = {}
    for name in ('phrases', 'questions', 'texts'):
        if getattr(prompts, name):
            plain[name] = list(getattr(prompts, name))
    regions = prompts.regions
    if isinstance(regions, Regions) and regions.boxes is not None:
        plain['boxes'] = regions.boxes.tolist()
    elif regions is not None:
        masks: Any = regions.masks if isinstance(regions, Regions) else regions
        plain['masks'] = len(masks)
    points: Any = prompts.points
    if points is not None:
        plain['points'] = (points.rows if isinstance(points, Points) else points).tolist()
    if prompts.background:
        plain['background'] = list(prompts.background)
    if prompts.thresholds:
        plain['thresholds'] = prompts.thresholds.plain()
    if prompts.uncertainty:
        plain |= dict(uncertainty=True, class_temperature=prompts.class_temperature)
    if prompts.views is not None:
        plain['views'] = list(map(str, prompts.views))
    if prompts.generation:
        plain['generation'] = dict(prompts.generation)
    return plain | {key: value for key, value in prompts.more.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(entry) for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float, bool))
