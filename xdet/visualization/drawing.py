"""Drawing of segments into a picture: functions of arrays, no state.

Pictures are RGB uint8 ``[H, W, 3]`` and are changed in place where a function says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import mmcv
import numpy as np

from xdet.structures.masks.boxes import mask_box

if TYPE_CHECKING:
    from torch import Tensor

    from xdet.structures import XDetDataSample

_SEARCH_SIZE = 512  # longer side of the map that is searched for a label's place
_LARGEST = 4000  # pixels from which on labels no longer grow: such images are looked at in parts


@dataclass(frozen=True)
class Style:
    """Sizes in pixels that suit one image, so that one of 100 pixels and one of 3,000 look alike.

    Attributes:
        font (int): Height of label text.
        text (int): Height of text below the image.
        line (int): Width of outlines and boxes.
    """

    font: int
    text: int
    line: int

    @classmethod
    def of(cls, height: int, width: int) -> Style:
        """Style of an image; a narrow strip counts by its short side."""
        size = min((height * width) ** 0.5, 3.0 * min(height, width), _LARGEST)
        return cls(
            font=max(11, round(0.024 * size)), text=max(13, round(0.03 * size)), line=max(1, round(0.0028 * size))
        )


def paint_map(image: np.ndarray, index_map: np.ndarray, colors: np.ndarray, alpha: float, line: int) -> np.ndarray:
    """Tint every region of a map and draw the borders between regions.

    Args:
        image (np.ndarray): RGB uint8 ``[H, W, 3]``, left unchanged.
        index_map (np.ndarray): ``[H, W]`` rows of ``colors``, -1 where the picture stays as it is.
        colors (np.ndarray): uint8 ``[n, 3]``.
        alpha (float): Opacity of the tint.
        line (int): Width of the borders in pixels, 0 for none.

    Returns:
        np.ndarray: The painted picture.
    """
    painted = index_map >= 0
    if not painted.any():
        return image.copy()
    tint = np.where(painted[..., None], colors[np.where(painted, index_map, 0)], image)
    result = cv2.addWeighted(image, 1 - alpha, tint.astype(np.uint8), alpha, 0)
    if line:
        result[region_borders(index_map, line)] = 255
    return result


def region_borders(index_map: np.ndarray, line: int) -> np.ndarray:
    """Pixels ``[H, W]`` bool within about ``line / 2`` pixels of where the value of a map changes."""
    border = np.zeros(index_map.shape, dtype=np.uint8)
    border[:, 1:] |= index_map[:, 1:] != index_map[:, :-1]
    border[1:] |= index_map[1:] != index_map[:-1]
    if line > 1:
        border = cv2.dilate(border, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (line, line)))
    return border.astype(bool)


def paint_mask(image: np.ndarray, mask: np.ndarray, color: np.ndarray, alpha: float, line: int) -> None:
    """Tint one mask and draw its outline, in place.

    Args:
        image (np.ndarray): RGB uint8 ``[H, W, 3]``.
        mask (np.ndarray): bool ``[H, W]``.
        color (np.ndarray): uint8 ``[3]``.
        alpha (float): Opacity of the tint.
        line (int): Width of the outline in pixels.
    """
    box = mask_box(mask)
    if box is None:
        return
    x1, y1, x2, y2 = box
    view, inside = image[y1:y2, x1:x2], mask[y1:y2, x1:x2]
    tinted = (1 - alpha) * view[inside] + alpha * np.asarray(color, dtype=np.float32)
    view[inside] = np.round(tinted).astype(np.uint8)
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x1, y1))
    cv2.drawContours(image, contours, -1, (255, 255, 255), line, lineType=cv2.LINE_AA)


def draw_box(image: np.ndarray, box: np.ndarray, color: np.ndarray, line: int) -> None:
    """Draw a box ``(x1, y1, x2, y2)`` in pixels, clipped to the picture, in place."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (int(round(float(value))) for value in box)
    start = (min(max(x1, 0), width - 1), min(max(y1, 0), height - 1))
    end = (min(max(x2 - 1, 0), width - 1), min(max(y2 - 1, 0), height - 1))
    cv2.rectangle(image, start, end, tuple(int(channel) for channel in color), line, lineType=cv2.LINE_8)


def draw_pose(
    image: np.ndarray,
    points: np.ndarray,
    shown: np.ndarray,
    skeleton: Sequence[Sequence[int]],
    colors: np.ndarray,
    line: int,
) -> None:
    """Draw keypoints and the lines between them, in place.

    Args:
        image (np.ndarray): RGB uint8 ``[H, W, 3]``.
        points (np.ndarray): float ``[K, 2]``, x and y in pixels; those outside of the picture are cut off.
        shown (np.ndarray): bool ``[K]``, which points to draw. A line is drawn where both its ends are.
        skeleton (Sequence[Sequence[int]]): Pairs of points.
        colors (np.ndarray): uint8 ``[K, 3]``; a line has the colour of its second end.
        line (int): Width of lines in pixels.
    """
    reach = 4 * max(image.shape)
    places = [tuple(int(value) for value in point) for point in np.clip(np.round(points), -reach, reach)]
    for first, second in skeleton:
        if shown[first] and shown[second]:
            color = tuple(int(channel) for channel in colors[second])
            cv2.line(image, places[first], places[second], color, 2 * line, lineType=cv2.LINE_AA)
    for place, color, there in zip(places, colors, shown, strict=True):
        if there:
            cv2.circle(image, place, 3 * line, (255, 255, 255), cv2.FILLED, lineType=cv2.LINE_AA)
            cv2.circle(image, place, 2 * line, tuple(int(channel) for channel in color), cv2.FILLED, cv2.LINE_AA)


def draw_clicks(image: np.ndarray, points: np.ndarray, factor: int, line: int) -> np.ndarray:
    """The picture with clicks on it: green with a plus on the object, red with a minus elsewhere.

    Args:
        image (np.ndarray): RGB uint8 ``[H, W, 3]``, ``factor`` times as large as what was clicked.
        points (np.ndarray): int64 ``[n, 3]``: column, row, and 1 for the object or 0.
        factor (int): See ``image``.
        line (int): Width of lines in pixels.
    """
    image, size = image.copy(), 4 * line
    for x, y, positive in points.tolist():
        place = (round(factor * (x + 0.5)), round(factor * (y + 0.5)))
        cv2.circle(image, place, size + line, (255, 255, 255), cv2.FILLED, lineType=cv2.LINE_AA)
        cv2.circle(image, place, size, (30, 150, 60) if positive else (200, 40, 40), cv2.FILLED, lineType=cv2.LINE_AA)
        for turn in (0, 1)[: 1 + positive]:
            reach = (0, size // 2) if turn else (size // 2, 0)
            ends = [tuple(at + side * by for at, by in zip(place, reach, strict=True)) for side in (-1, 1)]
            cv2.line(image, ends[0], ends[1], (255, 255, 255), line, lineType=cv2.LINE_AA)
    return image


def inner_point(mask: np.ndarray) -> tuple[float, float, float] | None:
    """Centre of the largest circle inside a mask: where a label certainly lies on its segment.

    The picture's border counts as an edge. Large masks are searched at reduced size.

    Args:
        mask (np.ndarray): bool ``[H, W]``.

    Returns:
        tuple[float, float, float] | None: ``x, y, radius`` in pixels; None when the mask is empty.
    """
    box = mask_box(mask)
    if box is None:
        return None
    x1, y1, x2, y2 = box
    crop = mask[y1:y2, x1:x2].astype(np.uint8)
    step = max(1, -(-max(crop.shape) // _SEARCH_SIZE))
    sampled = crop[step // 2 :: step, step // 2 :: step]
    if not sampled.any():  # thinner than the sampling
        step, sampled = 1, crop
    # A border of zeros makes the edge of the crop (and so of the picture) an edge of the mask.
    distance = cv2.distanceTransform(np.pad(sampled, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    offset = step // 2 if step > 1 else 0
    return x1 + float(column) * step + offset, y1 + float(row) * step + offset, float(distance[row, column]) * step


def enlarge_factor(height: int, width: int, min_size: int) -> int:
    """Whole factor that makes the longer side of a small picture at least ``min_size`` pixels."""
    return max(1, -(-min_size // max(height, width)))


def enlarge(array: np.ndarray, factor: int, smooth: bool = False) -> np.ndarray:
    """Enlarge ``[H, W, ...]`` by a whole factor; smooth for pictures, repeated pixels for maps."""
    if factor == 1:
        return array
    if smooth:
        return cv2.resize(array, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def picture_of(pixels: Tensor, sample: XDetDataSample) -> np.ndarray:
    """RGB picture of a sample in the size of its results, from its file if there is one.

    Args:
        pixels (Tensor): BGR ``[3, h, w]`` as the network saw it, 0 to 255.
        sample (XDetDataSample): With ``ori_shape`` and maybe ``img_path``.
    """
    height, width = sample.ori_shape[:2]
    path = Path(str(sample.metainfo.get('img_path', 'picture')))
    image = mmcv.imread(str(path)) if path.is_file() else pixels.cpu().numpy().transpose(1, 2, 0)
    if image.shape[:2] != (height, width):
        image = mmcv.imresize(image, (width, height))
    return mmcv.bgr2rgb(np.ascontiguousarray(image))
