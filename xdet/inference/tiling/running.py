"""A task on an image of any size, tile by tile. Memory holds one tile and the result: a label map, or cropped masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.inference.outputs.writer import png_of_strips
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample

from .codes import label_strips, map_strips
from .cutting import Tiles
from .joining import JointInstances, JointMap
from .windows import Windows

Predict = Callable[[NDArray[np.uint8]], XDetDataSample]

_DRAWN = 2048


@dataclass
class Tiled:
    """Joined result of an image.

    Attributes:
        rows (list[dict]): Segments as in results of all images, with masks as run-length codes.
        presence (NDArray | None): Highest presence of each name in any tile.
        map (NDArray | None): ``[H, W]`` ids of panoptic segments, 0 void; or labels plus 1, 0 where there is none.
        small (XDetDataSample): The result reduced, for drawing.
        factor (int): By how much.
        image (NDArray): The image reduced, BGR.
        size (tuple[int, int]): Height and width of the image.
    """

    rows: list[dict[str, Any]]
    presence: NDArray[np.float32] | None
    map: NDArray[Any] | None
    small: XDetDataSample
    factor: int
    image: NDArray[np.uint8]
    size: tuple[int, int]

    def png(self) -> bytes:
        """The map as the PNG file that all images get."""
        assert self.map is not None
        if 'pred_panoptic_seg' in self.small:
            strips = map_strips(self.map)
        else:
            strips = label_strips(self.map, len(self.small.vocabulary))
        return png_of_strips(strips, *self.size)


def run_tiles(
    windows: Windows, tiles: Tiles, task: str, request: TextPrompts, predict: Predict, least_score: float
) -> Tiled:
    """Run a task on an image.

    Args:
        windows (Windows): The image.
        tiles (Tiles): How to cut it.
        task (str): One that takes tiles, see ``xdet/options.py``.
        request (TextPrompts): What is asked of every tile.
        predict (Predict): Runs the task on pixels; the sample that it returns is on the CPU.
        least_score (float): Instances below are left out, or results would grow with the number of tiles.

    Raises:
        ImageReadError: A part of the image cannot be read.
    """
    joint: JointMap | JointInstances
    joint = JointInstances(windows.size, least_score) if task == 'instance' else JointMap(windows.size, task)
    presence: NDArray[np.float32] | None = None
    vocabulary: Vocabulary | None = None
    for down in tiles.spans(windows.size[0]):
        for across in tiles.spans(windows.size[1]):
            sample = predict(windows.read(slice(down.start, down.stop), slice(across.start, across.stop)))
            vocabulary = sample.vocabulary
            if 'pred_presence' in sample:
                there = sample.pred_presence.numpy()
                presence = there if presence is None else np.maximum(presence, there)
            joint.add(sample, down, across)
    assert vocabulary is not None
    image, factor = windows.reduced(_DRAWN)
    small = XDetDataSample(metainfo=dict(ori_shape=image.shape[:2], img_shape=image.shape[:2], vocabulary=vocabulary))
    small.prompts = request
    rows = joint.finish(vocabulary, small, factor)
    return Tiled(rows, presence, joint.map, small, factor, image, windows.size)
