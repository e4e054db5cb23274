"""Panels of a picture: an image with one kind of annotation or prediction drawn into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from mmengine.structures import InstanceData, PixelData
from scipy.ndimage import find_objects

from xdet.structures import XDetDataSample
from xdet.structures.known_words import FAR_MARK
from xdet.tasks.pose_format import VISIBLE

from .depth import paint_depth
from .drawing import (
    Style,
    draw_box,
    draw_clicks,
    draw_pose,
    enlarge,
    enlarge_factor,
    inner_point,
    paint_map,
    paint_mask,
)
from .labels import Label, draw_labels
from .palette import class_colors, heat_colors, shade
from .sample_texts import captioned_regions, phrase_regions, shown_objects, true_phrase_regions

_HEAT = 0.7  # opacity of maps of numbers
# Fields whose regions have words of their own instead of classes.
_WORDED = dict(
    gt_phrases=true_phrase_regions,
    pred_phrases=phrase_regions,
    pred_region_captions=captioned_regions,
    pred_objects=shown_objects,
)


@dataclass(frozen=True, eq=False)
class Panels:
    """Draws panels of one image, which all are RGB uint8 and of one size.

    Attributes:
        image (np.ndarray): RGB uint8 ``[H, W, 3]``.
        classes (list[str], optional): Names in label order; None calls classes by their number.
        palette (Any): Colours of the classes, if there are as many; other colours follow from names.
        color_by (str): ``'class'`` or ``'instance'``, see :class:`~.local_visualizer.XDetLocalVisualizer`, as for
            ``alpha`` and ``min_size``.
        alpha (float): Opacity of tints.
        min_size (int): Least length of the longer side.
    """

    image: np.ndarray
    classes: list[str] | None
    palette: Any
    color_by: str
    alpha: float
    min_size: int

    @cached_property
    def factor(self) -> int:
        """By which the image is enlarged."""
        height, width = self.image.shape[:2]
        return enlarge_factor(height, width, self.min_size)

    @cached_property
    def style(self) -> Style:
        """Sizes that suit the enlarged image."""
        height, width = self.image.shape[:2]
        return Style.of(height * self.factor, width * self.factor)

    def canvas(self) -> np.ndarray:
        """The enlarged image, to draw on."""
        canvas = np.ascontiguousarray(enlarge(self.image, self.factor, smooth=True))
        return canvas if self.factor > 1 else canvas.copy()

    def of(self, sample: XDetDataSample, field: str, score_thr: float) -> list[np.ndarray]:
        """Panels of one field that a sample has.

        Args:
            sample (XDetDataSample): On the CPU.
            field (str): Such as ``'pred_instances'``.
            score_thr (float): Least score of what is drawn; answers are shown however sure they are.

        Raises:
            ValueError: The field is for an image of another size.
        """
        if field in _WORDED:
            data, words = _WORDED[field](sample)
            worded = replace(self, classes=words, palette=None, color_by='class')
            if field != 'pred_objects':
                return [worded._instances(_sure(data, score_thr))]
            picture, points = worded._instances(data), sample.prompts.points
            if points is not None:
                picture = draw_clicks(picture, np.asarray(points), self.factor, self.style.line)
            return [picture]
        data = sample.get(field)
        if field == 'pred_uncertainty':
            return [self._heat(data.entropy, 'entropy'), self._heat(1 - data.agreement, 'layers that disagree')]
        if field.endswith('depth'):
            return [self._depth(data)]
        if isinstance(data, InstanceData):
            draw = self._poses if field.endswith('poses') else self._instances
            return [draw(_sure(data, score_thr))]
        return [self._panoptic(data) if field.endswith('panoptic_seg') else self._semantic(data)]

    def _semantic(self, sem_seg: PixelData) -> np.ndarray:
        """Tint every class and write its name on its largest region; labels outside the class list stay untouched."""
        label_map = self._as_map(sem_seg.sem_seg)
        names, colors = self._names_and_colors(int(label_map.max(initial=0)) + 1)
        label_map = np.where((label_map >= 0) & (label_map < len(names)), label_map, -1)
        present = np.unique(label_map[label_map >= 0]).tolist()
        return self._map(label_map, colors, {label: names[label] for label in present})

    def _panoptic(self, panoptic_seg: PixelData) -> np.ndarray:
        """Tint every segment and write its name; siblings of one class differ at least in shade."""
        id_map = self._as_map(panoptic_seg.sem_seg)
        infos = panoptic_seg.get('segments_info', [])
        names, colors = self._names_and_colors(1 + max((info['label'] for info in infos), default=0))
        index_map = _indices(id_map, [info['id'] for info in infos])
        own = class_colors([str(index) for index in range(len(infos))])
        seen: Counter[int] = Counter()
        texts, tints = {}, []
        for index, info in enumerate(infos):
            label = info['label']
            texts[index] = names[label]
            if not info.get('is_thing', True):
                tints.append(colors[label])
            else:
                tints.append(own[index] if self.color_by == 'instance' else shade(colors[label], seen[label]))
            seen[label] += 1
        return self._map(index_map, np.stack(tints) if tints else np.zeros((1, 3), np.uint8), texts)

    def _instances(self, instances: InstanceData) -> np.ndarray:
        """Tint every instance, draw its box and write its name and score; better instances lie on top."""
        labels = np.asarray(instances.labels, dtype=np.int64) if 'labels' in instances else np.zeros(0, np.int64)
        masks = _as_masks(instances.masks) if 'masks' in instances else None
        boxes = np.asarray(instances.bboxes, dtype=np.float32) if 'bboxes' in instances else None
        scores = np.asarray(instances.scores, dtype=np.float32) if 'scores' in instances else None
        if masks is not None:
            self._check_size('masks are', masks.shape[1:])
        names, colors = self._names_and_colors(int(labels.max(initial=0)) + 1)
        if self.color_by == 'instance':
            tints = list(class_colors([str(index) for index in range(len(labels))]))
        else:
            siblings = [int((labels[:index] == label).sum()) for index, label in enumerate(labels)]
            tints = [shade(colors[label], sibling) for label, sibling in zip(labels, siblings, strict=True)]
        canvas, factor, style = self.canvas(), self.factor, self.style
        marks = []
        for index in sorted(range(len(labels)), key=lambda item: scores[item] if scores is not None else 0):
            place: tuple[float, float, float] | None = None
            if masks is not None:
                mask = enlarge(masks[index], factor)
                paint_mask(canvas, mask, tints[index], self.alpha, style.line)
                place = inner_point(mask)
            if boxes is not None and (boxes[index, 2:] > boxes[index, :2]).all():
                draw_box(canvas, boxes[index] * factor, tints[index], style.line)
                x1, y1, x2, _ = (float(value) for value in boxes[index] * factor)
                place = place or ((x1 + x2) / 2, y1 + style.font, (x2 - x1) / 2)
            if place is not None:
                text = names[labels[index]] + (f' {scores[index]:.2f}' if scores is not None else '')
                weight = float(scores[index]) if scores is not None else place[2]
                marks.append(Label(text, place[0], place[1], tints[index], weight))
        return draw_labels(canvas, marks, style.font)

    def _poses(self, poses: InstanceData) -> np.ndarray:
        """Draw masks, boxes, names and scores of objects with keypoints, then the points."""
        picture = self._instances(poses).copy()
        colors = class_colors([str(name) for name in poses.keypoint_names])
        scores = poses.keypoint_scores >= VISIBLE if 'keypoint_scores' in poses else poses.keypoints[..., 2] > 0
        for points, shown in zip(np.asarray(poses.keypoints, dtype=np.float32), np.asarray(scores), strict=True):
            draw_pose(picture, points[:, :2] * self.factor, shown, poses.skeleton, colors, self.style.line)
        return picture

    def _depth(self, depth: PixelData) -> np.ndarray:
        """Colours for depths, with the least and the greatest one written in."""
        values = np.asarray(depth.depth, dtype=np.float32)[0]
        self._check_size('the map is', values.shape)
        return paint_depth(values, self.factor, self.style.font)

    def _map(self, index_map: np.ndarray, colors: np.ndarray, texts: dict[int, str]) -> np.ndarray:
        """Paint a map of rows of ``colors`` (-1 = nothing) and write ``texts`` on the regions."""
        canvas, factor, style = self.canvas(), self.factor, self.style
        index_map = enlarge(index_map, factor)
        canvas = paint_map(canvas, index_map, colors, self.alpha, style.line)
        marks = []
        for index, box in enumerate(find_objects(index_map + 1)):
            place = None if box is None or index not in texts else inner_point(index_map[box] == index)
            if place is not None:
                x, y = place[0] + box[1].start, place[1] + box[0].start
                marks.append(Label(texts[index], x, y, colors[index], place[2]))
        return draw_labels(canvas, marks, style.font)

    def _heat(self, values: Any, title: str) -> np.ndarray:
        """Colour the pixels of the grey image by values ``[1, H, W]`` from 0 to 1; a bar below tells which is which."""
        canvas, factor, style = self.canvas(), self.factor, self.style
        heat = heat_colors(enlarge(np.asarray(values, np.float32)[0], factor, smooth=True))
        grey = canvas.mean(axis=2, keepdims=True)
        canvas = np.rint((1 - _HEAT) * grey + _HEAT * heat).astype(np.uint8)
        height, width = canvas.shape[:2]
        bar = max(style.line, style.font // 2)
        canvas[-bar:] = heat_colors(np.linspace(0, 1, width, dtype=np.float32))[None]
        dark, places = np.zeros(3, np.uint8), ((title, 0.5, style.font), ('0', 0.0, height - bar - style.font))
        marks = [Label(text, x * width, y, dark, 1.0) for text, x, y in (*places, ('1', 1.0, places[1][2]))]
        return draw_labels(canvas, marks, style.font)

    def _names_and_colors(self, count: int) -> tuple[list[str], np.ndarray]:
        """Names and uint8 ``[K, 3]`` colours; labels beyond the list (K at least ``count``) are called by number."""
        names = self.classes if self.classes is not None else [f'class {label}' for label in range(count)]
        palette = self.palette
        if palette is not None and not isinstance(palette, str) and len(palette) >= len(names):
            return names, np.asarray(palette, dtype=np.uint8)
        return names, class_colors([name.removesuffix(FAR_MARK) for name in names])

    def _as_map(self, data: Any) -> np.ndarray:
        """Integer map ``[H, W]`` of a ``[1, H, W]`` or ``[H, W]`` tensor; it must cover the image."""
        array = np.asarray(data)
        array = array.reshape(array.shape[-2:]).astype(np.int64)
        self._check_size('the map is', array.shape)
        return array

    def _check_size(self, what: str, size: tuple[int, ...]) -> None:
        if size != self.image.shape[:2]:
            raise ValueError(f'{what} {size} pixels but the image {self.image.shape[:2]} (height, width)')


def _sure(instances: InstanceData, score_thr: float) -> InstanceData:
    return instances[instances.scores >= score_thr] if 'scores' in instances else instances


def _indices(id_map: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Position in ``ids`` of every value of a map, -1 for other values."""
    values, inverse = np.unique(id_map, return_inverse=True)
    position = {value: index for index, value in enumerate(ids)}
    return np.array([position.get(value, -1) for value in values.tolist()])[inverse].reshape(id_map.shape)


def _as_masks(masks: Any) -> np.ndarray:
    """bool ``[n, H, W]`` of tensors, arrays or mmdet's mask classes."""
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    return np.asarray(masks).astype(bool)
