"""Keypoints in COCO's layout: training and evaluation read them by this one rule."""

from __future__ import annotations

import os.path as osp
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.io.reading import listed
from xdet.io.schema import checked, require, shown
from xdet.io.warnings import warn_once

from .coco_json import file_name, index_categories, load_coco_json
from .coco_objects import read_objects
from .left_out import LeftOut
from .outlines import describe

_FIELDS = ('id', 'keypoints', 'num_keypoints')


@dataclass(frozen=True)
class KeypointObject:
    """Something with keypoints, perhaps without a labelled one.

    Attributes:
        category_id (int | str): Id of its category.
        keypoints (NDArray): float32 ``[K, 3]``: x and y in pixels and v, which is 0 (unlabelled), 1 (hidden) or 2
            (visible). All three are 0 where a point is unlabelled.
        box (tuple[float, float, float, float]): x, y, width, height.
        area (float): In pixels.
        crowd (bool): Whether it stands for a group.
    """

    category_id: int | str
    keypoints: NDArray[np.float32]
    box: tuple[float, float, float, float]
    area: float
    crowd: bool

    @property
    def labelled(self) -> int:
        """Number of labelled keypoints."""
        return int((self.keypoints[:, 2] > 0).sum())


@dataclass(frozen=True)
class KeypointImage:
    """An image of the file: its id, its height and width, and what is annotated in it."""

    id: int | str
    size: tuple[int, int]
    objects: tuple[KeypointObject, ...]


class KeypointFile:
    """A COCO annotation file with keypoints.

    Categories may have different keypoints; the file then has those of all categories, and an annotation those of its
    own. Points with v > 0 outside of their image become unlabelled and are counted in one warning.

    Args:
        path (str): Annotation file.
        names (Sequence[str], optional): Keypoints to read, in the order wanted; default are those of all categories.

    Attributes:
        names (tuple[str, ...]): Names of the K keypoints.
        skeleton (tuple[tuple[int, int], ...]): Pairs of keypoints, counted from 0, that a line connects.
        categories (dict[int | str, str]): Names of the categories that have keypoints, by id.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no such file, or it contradicts itself. File, entry and field are named.
    """

    def __init__(self, path: str, names: Sequence[str] | None = None) -> None:
        self.path = path
        content = load_coco_json(path)
        declared, edges = _declared(path, content)
        known = tuple(dict.fromkeys(name for own in declared.values() for name in own))
        if names is not None and (unknown := [name for name in names if name not in known]):
            raise ValueError(f'{path}: no category has the keypoint(s) {listed(unknown)}; there are {listed(known)}')
        self.names = known if names is None else tuple(names)
        place = {name: row for row, name in enumerate(self.names)}
        pairs = dict.fromkeys((place[a], place[b]) for a, b in edges if a in place and b in place)
        self.skeleton = tuple(pairs)
        self.category_names = {number: row['name'] for number, row in index_categories(path, content).items()}
        self.categories = {number: self.category_names[number] for number in declared}
        images, objects = self._read(content, declared, place)
        self._images = {
            _name(file_name(path, image)): KeypointImage(
                number, (image['height'], image['width']), tuple(objects[number])
            )
            for number, image in images.items()
        }

    @property
    def images(self) -> list[KeypointImage]:
        """All images of the file."""
        return list(self._images.values())

    def find(self, img_path: str) -> KeypointImage | None:
        """What the file says about an image, which it knows by its ``file_name``, the end of its path."""
        parts = _name(str(img_path)).split('/')
        ends = ('/'.join(parts[start:]) for start in range(len(parts)))
        return next((self._images[end] for end in ends if end in self._images), None)

    def _read(
        self, content: dict, declared: dict[Any, tuple[str, ...]], place: dict[str, int]
    ) -> tuple[dict[Any, dict], dict[Any, list[KeypointObject]]]:
        """Entries of the images, and what is annotated in each of them."""
        images, objects = read_objects(self.path, content, boxes_only=True, carry=_FIELDS)
        annotated: dict[Any, list[KeypointObject]] = defaultdict(list)
        outside = LeftOut(self.path, 'keypoints')
        miscounted: list[str] = []
        total = 0
        for position, found in enumerate(objects):
            number, image = found['category_id'], images[found['image_id']]
            name = describe(position if found['id'] is None else found['id'], image['id'])
            where = f'{self.path}: {name} ({self.category_names[number]})'
            if number not in declared:
                if found['keypoints']:
                    raise ValueError(f"{where}: has keypoints, but its category has no list 'keypoints' of their names")
                continue
            names = declared[number]
            points = _points(found, names, where)
            labelled = points[:, 2] > 0
            total += int(labelled.sum())
            if require(found, 'num_keypoints', int, where, labelled.sum()) != labelled.sum():
                miscounted.append(f'{name} has {labelled.sum()} but says {found["num_keypoints"]}')
            beyond = labelled & ((points[:, :2] < 0) | (points[:, :2] > (image['width'], image['height']))).any(1)
            for point in np.flatnonzero(beyond):
                outside.add('lie outside of their image and count as unlabelled', f'{names[point]} of {name}')
            points[beyond | ~labelled] = 0
            own = np.zeros((len(place), 3), dtype=np.float32)
            for keypoint, point in zip(names, points, strict=True):
                if keypoint in place:
                    own[place[keypoint]] = point
            box = (float(found['bbox'][0]), float(found['bbox'][1]), float(found['bbox'][2]), float(found['bbox'][3]))
            annotated[image['id']].append(
                KeypointObject(number, own, box, float(found['area']), bool(found['iscrowd']))
            )
        outside.report(total)
        if miscounted:
            warn_once(
                f'{self.path}: {len(miscounted)} annotation(s) have another number of labelled keypoints (v > 0) than '
                f"their 'num_keypoints' says, which is not used, first {miscounted[0]}"
            )
        return images, annotated


def _name(path: str) -> str:
    return unicodedata.normalize('NFC', osp.normpath(path).replace('\\', '/'))


def _declared(path: str, content: dict) -> tuple[dict[Any, tuple[str, ...]], list[tuple[str, str]]]:
    """Names of the keypoints of each category that has some, and the names that lines connect."""
    declared: dict[Any, tuple[str, ...]] = {}
    edges: list[tuple[str, str]] = []
    for number, category in index_categories(path, content).items():
        where = f'{path}: category {category["name"]!r}'
        names = require(category, 'keypoints', list, where, [])
        if not names:
            continue
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"{where}: 'keypoints' has {shown(name)}; it must be a list of names")
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{where}: 'keypoints' has {repeated!r} more than once")
        for pair in require(category, 'skeleton', list, where, []):
            if not isinstance(pair, list) or len(pair) != 2:
                raise ValueError(f"{where}: 'skeleton' has {shown(pair)}; it must be a list of pairs of numbers")
            ends = [checked(end, int, f"{where}: a number in 'skeleton'") for end in pair]
            if not 1 <= min(ends) <= max(ends) <= len(names):
                raise ValueError(
                    f"{where}: 'skeleton' has {shown(pair)}; its {len(names)} keypoints are counted from 1"
                )
            edges.append((names[ends[0] - 1], names[ends[1] - 1]))
        declared[number] = tuple(names)
    if not declared:
        raise ValueError(f"{path}: no category has a list 'keypoints' of names; it is not a file of keypoints")
    return declared, edges


def _points(annotation: dict, names: Sequence[str], where: str) -> NDArray[np.float64]:
    """Points ``[K, 3]`` of an annotation; all unlabelled if it has none."""
    flat = require(annotation, 'keypoints', list, where, [])
    if not flat:
        return np.zeros((len(names), 3))
    if len(flat) != 3 * len(names):
        raise ValueError(
            f"{where}: 'keypoints' has {len(flat)} numbers, but the category declares {len(names)} keypoints; it must "
            f'have {3 * len(names)}: x, y and v of each'
        )
    values = [checked(value, float, f"{where}: a number in 'keypoints'") for value in flat]
    if wrong := [value for value in values[2::3] if value not in (0, 1, 2)]:
        raise ValueError(
            f"{where}: 'keypoints' has the visibility {shown(wrong[0])}; accepted are 0 (unlabelled), 1 (hidden) and "
            '2 (visible)'
        )
    return np.asarray(values, dtype=np.float64).reshape(-1, 3)
