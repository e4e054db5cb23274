"""How depth is asked and reported."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xdet.registry import TASK_FORMATS
from xdet.structures import TaskFormat, XDetDataSample


class DepthRange(TypedDict):
    """Depths of the pixels of an image, in metres."""

    min: float
    median: float
    max: float


class DepthResult(TypedDict):
    """Result of ``depth``: the range, and the map as a PNG of 16 bits in millimetres, in base64."""

    depth: DepthRange
    depth_png: str


@TASK_FORMATS.register_module(name='depth')
class DepthFormat(TaskFormat):
    """How far away every pixel is."""

    field = 'pred_depth'

    def results(self, sample: XDetDataSample) -> DepthResult:
        """Range and map."""
        depth = np.asarray(sample.pred_depth.depth)[0]
        file = io.BytesIO()
        Image.fromarray(millimetres(depth)).save(file, 'PNG')
        least, middle, most = (float(value) for value in (depth.min(), np.median(depth), depth.max()))
        return dict(
            depth=dict(min=least, median=middle, max=most),
            depth_png=base64.b64encode(file.getvalue()).decode('ascii'),
        )

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """The range."""
        depth = prediction['depth']
        return [f'depth {depth["min"]:.2f} to {depth["max"]:.2f} m, median {depth["median"]:.2f} m']

    def maps(self, sample: XDetDataSample) -> dict[str, NDArray[Any]]:
        """The map in millimetres."""
        return dict(depth=millimetres(np.asarray(sample.pred_depth.depth)[0]))


def millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """A map in metres as whole millimetres; 0 where it is not known, and 65535 for 65.535 m and more."""
    return np.clip(np.rint(1000 * depth.astype(np.float64)), 0, 65535).astype(np.uint16)
