"""Places that users give: regions as boxes or masks, and points."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdet.datasets.files.image_io import ImageReadError, read_image
from xdet.io.reading import expand
from xdet.io.schema import shown
from xdet.options import parse_boxes, parse_points

from .prompts import check_count

if TYPE_CHECKING:  # exported models run without torch
    from torch import Tensor

_MOST_BYTES = 4 * 2**30


class RegionError(ValueError):
    """Regions or points do not fit their image; the message is one line for the user."""


@dataclass(frozen=True)
class Regions:
    """Regions of one image, which become masks when its size is known.

    Attributes:
        boxes (np.ndarray | None): float ``[n, 4]``, ``x1, y1, x2, y2`` in pixels.
        masks (tuple): Otherwise bool arrays ``[H, W]`` or paths of image files.
    """

    boxes: np.ndarray | None = None
    masks: tuple[np.ndarray | Path, ...] = ()

    def __len__(self) -> int:
        return len(self.masks if self.boxes is None else self.boxes)

    def rasterize(self, height: int, width: int, name: str) -> Tensor:
        """Bool ``[n, H, W]`` masks; see :meth:`arrays`."""
        import torch

        return torch.from_numpy(self.arrays(height, width, name))

    def arrays(self, height: int, width: int, name: str) -> np.ndarray:
        """Bool ``[n, H, W]`` masks.

        Args:
            height (int): Of the image, in pixels.
            width (int): Likewise.
            name (str): The image's name, for errors.

        Raises:
            RegionError: A box or a mask covers no pixel of the image, a mask has another size, its file cannot be read,
                or there are more regions than memory should hold.
        """
        number = len(self)
        if number * height * width > _MOST_BYTES:
            raise RegionError(f'{name}: {number} regions of {width}x{height} pixels are too many at once; give fewer')
        if self.boxes is not None:
            return np.stack([_fill(box, height, width, name) for box in self.boxes])
        masks = [_read_mask(mask, name) if isinstance(mask, Path) else mask for mask in self.masks]
        for mask in masks:
            if mask.shape != (height, width):
                raise RegionError(
                    f'{name}: a mask is {mask.shape[1]}x{mask.shape[0]} pixels but the image is {width}x{height}'
                )
            if not mask.any():
                raise RegionError(f'{name}: a mask is empty: all of its pixels are black')
        return np.stack(masks)


@dataclass(frozen=True)
class Points:
    """Clicks in one image, which become pixels when its size is known.

    Attributes:
        rows (np.ndarray): float ``[n, 3]``: x and y in pixels, and 1 for points on the object, 0 for others.
    """

    rows: np.ndarray

    def pixels(self, height: int, width: int, name: str) -> Tensor:
        """int64 ``[n, 3]``: the pixels that the points lie in, each once, in the order of the clicks.

        Args:
            height (int): Of the image, in pixels.
            width (int): Likewise.
            name (str): The image's name, for errors.

        Raises:
            RegionError: A point lies outside of the image, or a pixel is clicked both as on the object and as not.
        """
        import torch

        chosen: dict[tuple[int, int], int] = {}
        for row in self.rows:
            x, y = (int(value) for value in np.floor(row[:2]))
            if not (0 <= x < width and 0 <= y < height):
                size = f'which is {width}x{height} pixels'
                raise RegionError(f'{name}: point {_shown(row[:2])} lies outside of the image, {size}')
            if chosen.setdefault((x, y), int(row[2])) != row[2]:
                raise RegionError(f'{name}: pixel [{x}, {y}] is clicked as on the object and as not on it; drop one')
        return torch.tensor([(x, y, positive) for (x, y), positive in chosen.items()])


def resolve_points(value: Any, count: int | None) -> list[Points]:
    """Points of every image.

    Args:
        value (Sequence | np.ndarray | Tensor | str): One point, a list of points for all images, one such list per
            image, or text ``'x y; x y 0'`` for all images. A point is ``[x, y]``, or ``[x, y, 0]`` if it is not on the
            object; 1 is accepted as well.
        count (int): Number of images.

    Raises:
        ValueError: No points, or other numbers.
    """
    per_image = _per_image('points', value, parse_points, _POINTS, count)
    return [Points(_points(own, where)) for own, where in per_image]


def check_together(points: Sequence[Points], regions: Sequence[Regions] | None) -> None:
    """Whether the points of every image say what is meant, alone or together with its regions.

    Raises:
        ValueError: Points are about one object, but there are several regions; or no point is on the object and there
            is no region either.
    """
    for place, own in enumerate(points):
        of = f' of image {place}' if len(points) > 1 else ''
        number = 0 if regions is None else len(regions[place])
        if number > 1:
            raise ValueError(
                f'points{of} are about one object, but there are {number} boxes or masks; give one of them'
            )
        if not number and not own.rows[:, 2].any():
            raise ValueError(f'points{of}: none is on the object; give one that is, or a box or a mask')


def resolve_boxes(value: Any, count: int | None) -> list[Regions]:
    """Boxes of every image.

    Args:
        value (Sequence | np.ndarray | Tensor | str): One box, a list of boxes for all images, one such list per image,
            or text ``'x1 y1 x2 y2; x1 y1 x2 y2'`` for all images.
        count (int): Number of images.

    Raises:
        ValueError: No boxes, not four finite numbers each, or corners in the wrong order.
    """
    per_image = _per_image('boxes', value, parse_boxes, _BOXES, count)
    return [Regions(boxes=_boxes(own, where)) for own, where in per_image]


def resolve_masks(value: Any, count: int | None) -> list[Regions]:
    """Masks of every image.

    Args:
        value (Sequence | np.ndarray | Tensor | str | Path): A mask ``[H, W]`` or masks ``[n, H, W]`` or a file, a list
            of masks and files for all images, or a list with one list or array ``[n, H, W]`` per image.
        count (int): Number of images.

    Raises:
        ValueError: No masks, or an array of another kind.
    """
    value = _without_tensors(value)
    nested = isinstance(value, (list, tuple)) and any(_is_collection(item) for item in value)
    per_image = list(value) if nested else [value] * (count or 1)
    if nested:
        check_count('masks', len(per_image), count)
    return [Regions(masks=_masks(item, f' of image {index}' if nested else '')) for index, item in enumerate(per_image)]


_POINTS = 'accepted are lists of [x, y] in pixels, or [x, y, 0] for points that are not on the object'
_BOXES = 'accepted are lists of [x1, y1, x2, y2] in pixels with x1 < x2 and y1 < y2'
_MASKS = 'accepted are bool arrays [H, W] or [n, H, W] and paths of image files'


def _per_image(
    what: str, value: Any, parse: Callable[[str], Any], accepted: str, count: int | None
) -> list[tuple[Any, str]]:
    """Rows of numbers of every image, and how errors say which image it is.

    Raises:
        ValueError: They are nested in another way than one row, rows, or rows per image, or are no text of rows.
    """
    if isinstance(value, str):
        try:
            value = parse(value)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f'{what}: {error}') from None
    value = _without_tensors(value)
    depth = _depth(value)
    if depth == 0:
        raise ValueError(f'{what} is a {type(value).__name__}; {accepted}')
    if depth > 3:
        raise ValueError(f'{what} are nested too deeply; {accepted}, or one such list per image')
    if depth < 3:
        return [([value] if depth == 1 else value, '')] * (count or 1)
    check_count(what, len(value), count)
    return [(own, f' of image {place}') for place, own in enumerate(value)]


def _points(value: Any, where: str) -> np.ndarray:
    """float ``[n, 3]``."""
    rows = []
    for point in value:
        try:
            row = np.asarray([*point, 1.0] if len(point) == 2 else point, np.float64)
        except (OverflowError, TypeError, ValueError):
            row = np.zeros(0)
        if row.shape != (3,) or not np.isfinite(row).all() or row[2] not in (0, 1):
            raise ValueError(f'points{where}: {shown(point)} is no point; {_POINTS}')
        rows.append(row)
    if not rows:
        raise ValueError(f'points{where}: no point given; {_POINTS}')
    return np.stack(rows)


def _boxes(value: Any, where: str) -> np.ndarray:
    try:
        boxes = np.asarray(value)
        boxes = boxes.astype(np.float64, casting='same_kind' if boxes.dtype.kind == 'c' else 'unsafe')
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f'boxes{where} are not lists of four numbers; {_BOXES}') from None
    if not boxes.size:
        raise ValueError(f'boxes{where}: no box given; {_BOXES}')
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f'boxes{where} are not lists of four numbers; {_BOXES}')
    for box in boxes:
        if not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            raise ValueError(f'box {_shown(box)}{where} is impossible; {_BOXES}')
    return boxes


def _masks(value: Any, where: str) -> tuple[np.ndarray | Path, ...]:
    if isinstance(value, (str, Path)):
        return (expand(value),)
    if not isinstance(value, (list, tuple)):
        array = _array(value, where)
        value = [array] if array.ndim == 2 else list(array) if array.ndim == 3 else [array]
    if not value:
        raise ValueError(f'masks{where}: no mask given; {_MASKS}')
    return tuple(expand(item) if isinstance(item, (str, Path)) else _mask(item, where) for item in value)


def _mask(value: Any, where: str) -> np.ndarray:
    array = _array(value, where)
    if array.ndim != 2 or not (array.dtype == bool or np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f'masks{where}: a {array.dtype} array of shape {array.shape} is no mask; {_MASKS}')
    return array.astype(bool)


def _fill(box: np.ndarray, height: int, width: int, name: str) -> np.ndarray:
    """The pixels whose centres lie in a box, bool ``[H, W]``."""
    x1, y1, x2, y2 = np.ceil(box - 0.5).clip(0, [width, height, width, height]).astype(np.int64)
    mask = np.zeros((height, width), dtype=bool)
    mask[y1:y2, x1:x2] = True
    if not mask.any():
        raise RegionError(f'{name}: box {_shown(box)} covers no pixel of the image, which is {width}x{height} pixels')
    return mask


def _read_mask(path: Path, name: str) -> np.ndarray:
    try:
        return np.asarray(read_image(path).any(axis=2))
    except ImageReadError as error:
        raise RegionError(f'{name}: mask {error}') from error


def _depth(value: Any, most: int = 4) -> int:
    """How deep lists of numbers are nested, up to ``most``; an array has its number of axes."""
    if hasattr(value, 'ndim'):
        return int(value.ndim)
    if most and isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return 1 + max((_depth(item, most - 1) for item in value), default=0)
    return 0


def _without_tensors(value: Any, most: int = 3) -> Any:
    """The value with arrays in place of tensors, wherever these live and whether or not they have gradients."""
    torch = sys.modules.get('torch')  # without it there are no tensors
    if torch is not None and isinstance(value, torch.Tensor):
        plain = value.detach().cpu()
        return (plain.double() if plain.is_floating_point() else plain).numpy()
    if most and isinstance(value, (list, tuple)):
        return [_without_tensors(item, most - 1) for item in value]
    return value


def _array(value: Any, where: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (OverflowError, TypeError, ValueError):  # lists of different lengths
        raise ValueError(f'masks{where}: {shown(value)} is no mask; {_MASKS}') from None


def _is_collection(item: Any) -> bool:
    return isinstance(item, (list, tuple)) or getattr(item, 'ndim', 0) == 3


def _shown(box: np.ndarray) -> str:
    return f'[{", ".join(f"{value:g}" for value in box)}]'
