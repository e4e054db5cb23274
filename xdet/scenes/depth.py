"""How far away the parts of a generated scene are: an exact depth map, which changes nothing of its image.

A scene is a relief. Behind everything is a wall that bulges away from the viewer; below the border of two regions the
ground comes nearer. Every thing lies at a fixed distance before the nearest point that it covers, so whatever is drawn
over something else is nearer, and it is a cushion that rises from its outline to its middle, larger ones higher. All of
it can be seen in the image (place, border, what hides what, shapes), and no random number is drawn.
"""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from numpy.typing import NDArray

from xdet.datasets.transforms.depth import DepthMap
from xdet.registry import TRANSFORMS

from .description import Scene
from .render import border_line, outline_distance, pixel_centres
from .textures import wave

FARTHEST = 10.0
"""Metres to the middle of the wall, and so of any pixel."""

_BULGE = 0.5  # metres by which the sides of the wall are nearer
_GROUND = 4.0  # metres by which the ground comes nearer from the border to the lower side
_TILT = 2.0  # metres by which a wall without ground comes nearer
_GAP = 0.3  # metres between a thing and what it covers
_RISE = 0.75  # height of a thing's middle above its outline, in metres, of a thing as large as the image
_RIM = 0.5  # distance from the outline at which it is reached, in half diameters


def scene_depth(scene: Scene, size: int) -> NDArray[np.float32]:
    """Depth map of a scene: float32 ``[size, size]``, metres from the viewer, known at every pixel.

    Args:
        scene (Scene): What :func:`~xdet.scenes.render.render_scene` draws.
        size (int): Side in pixels.
    """
    across = pixel_centres(size)[None]
    down = pixel_centres(size)[:, None]
    depth = FARTHEST - _BULGE * (1 + wave(0.5 * across)) - np.zeros_like(down)
    if scene.border is None:
        depth -= _TILT * down
    else:
        line = border_line(scene.border, size)[None]
        depth -= _GROUND * np.clip((down - line) / np.maximum(1 - line, 0.05), 0, 1)
    for item in scene.objects:
        window, distance = outline_distance(item, size)
        inside = distance < 0
        if inside.any():  # a thing of a film may be outside of the image
            view = depth[window]
            inwards = np.clip(-distance[inside] / _RIM, 0, 1)
            view[inside] = view[inside].min() - _GAP - _RISE * item.size * inwards * (2 - inwards)
    return depth.astype(np.float32)


@TRANSFORMS.register_module()
class RenderDepth(BaseTransform):
    """Add the depth map of the scene that ``RenderScene`` drew.

    Required keys: ``scene_description`` and ``img_shape``. Added keys: ``loaded_depth``.
    """

    def transform(self, results: dict) -> dict:
        """Add it."""
        values = scene_depth(results['scene_description'], results['img_shape'][0])
        results['loaded_depth'] = DepthMap(values, results['img_path'])
        return results
