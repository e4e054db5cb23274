"""Metrics as a function of the size in which a network sees its images."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from mmcv.transforms import BaseTransform

from xdet.io.writing import replacing

SIZE_KEYS = ('scale', 'max_size')


class ScalePackedInputs(BaseTransform):
    """Resize packed ``inputs`` by a factor, for pipelines that have no resizing step; ground truth stays.

    Args:
        factor (float): Of height and width.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def transform(self, results: dict) -> dict:
        """Resize ``inputs``, area-averaged when they shrink, bilinear when they grow, and say so in ``img_shape``."""
        image = results['inputs'].numpy().transpose(1, 2, 0)
        height, width = (max(1, round(side * self.factor)) for side in image.shape[:2])
        method = cv2.INTER_AREA if self.factor < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method)
        results['data_samples'].set_metainfo(dict(img_shape=(height, width)))
        return dict(results, inputs=torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1))))


def scaled_dataset(dataset: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Config of a test data set whose images reach the network larger or smaller.

    Sizes of the pipeline's ``*Resize*`` steps are multiplied; a pipeline without any gets :class:`ScalePackedInputs`.

    Args:
        dataset (Mapping): Config, perhaps of a wrapper around others.
        factor (float): 1 changes nothing.

    Raises:
        ValueError: The factor is not positive, there is no pipeline, or a resizing step states no size that could be
            multiplied.
    """
    if not factor > 0:
        raise ValueError(f'factor {factor} must be greater than 0')
    changed = copy.deepcopy(dict(dataset))
    if 'pipeline' not in changed:
        if 'dataset' not in changed:
            raise ValueError(f'data set {changed.get("type")} has no pipeline')
        return dict(changed, dataset=scaled_dataset(changed['dataset'], factor))
    pipeline = [dict(step) for step in changed['pipeline']]
    resizing = [step for step in pipeline if 'Resize' in str(step['type'])]
    for step in resizing:
        keys = [key for key in SIZE_KEYS if step.get(key) is not None]
        if not keys:
            raise ValueError(f'{step["type"]} states none of {", ".join(SIZE_KEYS)}, so its size cannot be changed')
        step.update({key: _times(step[key], factor) for key in keys})
    if not resizing and factor != 1:
        pipeline.append(dict(type=ScalePackedInputs, factor=factor))
    return dict(changed, pipeline=pipeline)


def _times(size: Any, factor: float) -> Any:
    if isinstance(size, (list, tuple)):
        return tuple(_times(side, factor) for side in size)
    return max(1, round(size * factor))


def robustness_table(
    results: Mapping[float, Mapping[str, float]], keys: Sequence[str]
) -> tuple[list[str], list[list[str | float | None]]]:
    """Header and a row per value: at every factor, and the loss at the worst one compared with factor 1."""
    header = ['value', *(f'x {factor:g}' for factor in results), 'largest loss']
    rows: list[list[str | float | None]] = []
    for key in keys:
        values = [found.get(key) for found in results.values()]
        base = results.get(1.0, {}).get(key)
        known = [value for value in values if value is not None]
        rows.append([key, *values, base - min(known) if base is not None and known else None])
    return header, rows


def draw_curves(results: Mapping[float, Mapping[str, float]], keys: Sequence[str], path: Path, title: str) -> None:
    """Picture of every value over the factor."""
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    axes = figure.add_subplot()
    for key in keys:
        axes.plot(list(results), [found.get(key, np.nan) for found in results.values()], marker='o', label=key)
    axes.axvline(1.0, color='grey', linewidth=0.8, linestyle=':')
    axes.set_xscale('log', base=2)
    axes.set_xticks(list(results), [f'{factor:g}' for factor in results])
    axes.minorticks_off()
    axes.set_xlabel('size of the network input, 1 = as configured')
    axes.set_ylabel('value')
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    with replacing(path) as file:
        figure.savefig(file, dpi=120, format=path.suffix[1:] or 'png')
