"""Draws samples: segments with their names, regions with their words, texts below the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.structures import InstanceData, PixelData
from mmengine.visualization import LocalVisBackend, Visualizer
from scipy.ndimage import find_objects

from xdet.io.writing import write_image
from xdet.registry import VISUALIZERS
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
from .sample_texts import (
    captioned_regions,
    marked_names,
    paragraphs,
    phrase_regions,
    shown_objects,
    true_phrase_regions,
)
from .text_strip import add_text_strip

_GAP = 6  # white pixels between panels
_HEAT = 0.7  # opacity of maps of numbers


@VISUALIZERS.register_module()
class XDetLocalVisualizer(Visualizer):
    """Visualizer for any vocabulary: names and colours come from the sample, not from a fixed class list.

    Called like mmdet's ``DetLocalVisualizer``, and takes its mask types.

    The names of a sample are those of its ``vocabulary``; without one, ``dataset_meta['classes']``; without these,
    ``class 3`` and so on. Colours follow from names (:func:`~xdet.visualization.palette.class_colors`) unless
    ``dataset_meta['palette']`` fits.

    Args:
        name (str): Name of the instance.
        image (np.ndarray, optional): RGB image to start with.
        vis_backends (list, optional): Configs of MMEngine's visualisation backends.
        save_dir (str, optional): Folder of the backends.
        alpha (float): Opacity of the tint of segments, from 0 to 1.
        min_size (int): Pictures whose longer side is shorter are enlarged by a whole factor, so that names can be read.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        image: np.ndarray | None = None,
        vis_backends: list | dict | None = None,
        save_dir: str | None = None,
        alpha: float = 0.5,
        min_size: int = 480,
    ) -> None:
        super().__init__(name=name, image=image, vis_backends=vis_backends, save_dir=save_dir)
        self.alpha = alpha
        self.dataset_meta: dict = {}
        self._drawn = np.zeros((1, 1, 3), np.uint8)
        if not 0 <= alpha <= 1:
            raise ValueError(f'alpha is {alpha}; accepted are numbers from 0 to 1')
        self.min_size = min_size

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: XDetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw a sample and hand the picture to a file, a window or the backends; arguments as in mmdet.

        Of several processes all write files, and the first one fills windows and backends.

        Args:
            name (str): Title of the picture.
            image (np.ndarray): RGB ``[H, W, 3]``.
            data_sample (XDetDataSample, optional): What to draw; None shows the plain image.
            draw_gt (bool): Draw the ground truth, when there is one.
            draw_pred (bool): Draw every kind of prediction the sample has, one panel each.
            show (bool): Open a window.
            wait_time (float): Seconds the window stays; 0 means until a key is pressed.
            out_file (str, optional): Write the picture here instead of to the backends.
            pred_score_thr (float): Instances with a lower score are not drawn.
            step (int): Step under which backends file the picture.
        """
        drawn = self.draw(image, data_sample, draw_gt, draw_pred, pred_score_thr)
        self._drawn = drawn
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_image(out_file, drawn, quality=95)
        else:
            self.add_image(name, drawn, step)

    @master_only
    def track_image(self, name: str, step: int) -> None:
        """Hand the last picture to the backends that follow trainings, such as TensorBoard, but not to files again."""
        for backend in self._vis_backends.values():
            if not isinstance(backend, LocalVisBackend):
                backend.add_image(name, self._drawn, step)

    def draw(
        self,
        image: np.ndarray,
        data_sample: XDetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        pred_score_thr: float = 0.3,
        color_by: str = 'class',
        draw_texts: bool = True,
    ) -> np.ndarray:
        """The picture of a sample: ground truth on the left, then one panel per kind of prediction, texts below.

        Args:
            image (np.ndarray): RGB ``[H, W, 3]`` (or grey ``[H, W]``), values 0 to 255.
            data_sample (XDetDataSample, optional): What to draw.
            draw_gt (bool): Draw the ground truth.
            draw_pred (bool): Draw the predictions.
            pred_score_thr (float): Instances and phrases with a lower score are not drawn.
            color_by (str): ``'class'`` gives instances of a class shades of one colour, ``'instance'`` colours of
                their own; stuff has the colour of its class.
            draw_texts (bool): Write captions, answers and the like below.

        Returns:
            np.ndarray: RGB uint8; larger than the image when it is small, has several panels, or texts.
        """
        image = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        sample = data_sample.cpu() if data_sample is not None else XDetDataSample()
        classes = self._classes_of(sample)
        palette = self.dataset_meta.get('palette') if self.dataset_meta else None
        panels: list[np.ndarray] = []
        if draw_gt:
            panels += self._panels(image, sample, _GROUND_TRUTH, classes, palette, 0.0, color_by)[:1]
        if draw_pred:
            described = 'pred_region_captions' in sample  # regions of phrases need no second panel then
            # Poses are instances with points, and drawn with their masks.
            shown_elsewhere = {'pred_phrases': described, 'pred_instances': 'pred_poses' in sample}
            fields = [field for field in _PREDICTIONS if not shown_elsewhere.get(field)]
            panels += self._panels(image, sample, fields, classes, palette, pred_score_thr, color_by)
        lines = paragraphs(sample, pred_score_thr) if draw_pred and draw_texts else []
        if not lines:
            return _side_by_side(panels) if panels else image
        canvas, _, style = self._canvas(image)
        return add_text_strip(_side_by_side(panels) if panels else canvas, lines, style.text)

    def _panels(
        self,
        image: np.ndarray,
        sample: XDetDataSample,
        fields: Sequence[str],
        classes: list[str] | None,
        palette: Any,
        score_thr: float,
        color_by: str,
    ) -> list[np.ndarray]:
        panels = []
        for field in fields:
            if field not in sample:
                continue
            if field in _WORDED:
                data, names = _WORDED[field](sample)
                asked = field == 'pred_objects'  # answers are shown however sure they are
                if 'scores' in data and not asked:
                    data = data[data.scores >= score_thr]
                panels.append(self._draw_instances(image, data, names, None))
                if asked and sample.prompts.points is not None:
                    _, factor, style = self._canvas(image)
                    panels[-1] = draw_clicks(panels[-1], np.asarray(sample.prompts.points), factor, style.line)
                continue
            data = sample.get(field)
            if field == 'pred_uncertainty':
                panels += [self._draw_heat(image, data.entropy, 'entropy')]
                panels += [self._draw_heat(image, 1 - data.agreement, 'layers that disagree')]
                continue
            if field.endswith('depth'):
                panels.append(self._draw_depth(image, data))
                continue
            if isinstance(data, InstanceData):
                if 'scores' in data:
                    data = data[data.scores >= score_thr]
                draw = self._draw_poses if field.endswith('poses') else self._draw_instances
                panels.append(draw(image, data, classes, palette, color_by))
            elif field.endswith('panoptic_seg'):
                panels.append(self._draw_panoptic_seg(image, data, classes, palette, color_by))
            else:
                panels.append(self._draw_sem_seg(image, data, classes, palette))
        return panels

    def _draw_sem_seg(
        self, image: np.ndarray, sem_seg: PixelData, classes: list[str] | None, palette: Any
    ) -> np.ndarray:
        """Tint every class and write its name on its largest region; labels outside the class list stay untouched."""
        label_map = _as_map(sem_seg.sem_seg, image)
        names, colors = _names_and_colors(classes, palette, int(label_map.max(initial=0)) + 1)
        label_map = np.where((label_map >= 0) & (label_map < len(names)), label_map, -1)
        present = np.unique(label_map[label_map >= 0]).tolist()
        return self._draw_map(image, label_map, colors, {label: names[label] for label in present})

    def _draw_panoptic_seg(
        self,
        image: np.ndarray,
        panoptic_seg: PixelData,
        classes: list[str] | None,
        palette: Any,
        color_by: str = 'class',
    ) -> np.ndarray:
        """Tint every segment and write its name; siblings of one class differ at least in shade."""
        id_map = _as_map(panoptic_seg.sem_seg, image)
        infos = panoptic_seg.get('segments_info', [])
        names, colors = _names_and_colors(classes, palette, 1 + max((info['label'] for info in infos), default=0))
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
                tints.append(own[index] if color_by == 'instance' else shade(colors[label], seen[label]))
            seen[label] += 1
        return self._draw_map(image, index_map, np.stack(tints) if tints else np.zeros((1, 3), np.uint8), texts)

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: list[str] | None,
        palette: Any,
        color_by: str = 'class',
    ) -> np.ndarray:
        """Tint every instance, draw its box and write its name and score; better instances lie on top."""
        labels = np.asarray(instances.labels, dtype=np.int64) if 'labels' in instances else np.zeros(0, np.int64)
        masks = _as_masks(instances.masks) if 'masks' in instances else None
        boxes = np.asarray(instances.bboxes, dtype=np.float32) if 'bboxes' in instances else None
        scores = np.asarray(instances.scores, dtype=np.float32) if 'scores' in instances else None
        if masks is not None and masks.shape[1:] != image.shape[:2]:
            raise ValueError(f'masks are {masks.shape[1:]} pixels but the image {image.shape[:2]} (height, width)')
        names, colors = _names_and_colors(classes, palette, int(labels.max(initial=0)) + 1)
        if color_by == 'instance':
            tints = list(class_colors([str(index) for index in range(len(labels))]))
        else:
            siblings = [int((labels[:index] == label).sum()) for index, label in enumerate(labels)]
            tints = [shade(colors[label], sibling) for label, sibling in zip(labels, siblings, strict=True)]
        canvas, factor, style = self._canvas(image)
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

    def _draw_poses(
        self,
        image: np.ndarray,
        poses: InstanceData,
        classes: list[str] | None,
        palette: Any,
        color_by: str = 'class',
    ) -> np.ndarray:
        """Draw masks, boxes, names and scores of objects with keypoints, then the points."""
        picture = self._draw_instances(image, poses, classes, palette, color_by).copy()
        _, factor, style = self._canvas(image)
        colors = class_colors([str(name) for name in poses.keypoint_names])
        scores = poses.keypoint_scores >= VISIBLE if 'keypoint_scores' in poses else poses.keypoints[..., 2] > 0
        for points, shown in zip(np.asarray(poses.keypoints, dtype=np.float32), np.asarray(scores), strict=True):
            draw_pose(picture, points[:, :2] * factor, shown, poses.skeleton, colors, style.line)
        return picture

    def _draw_depth(self, image: np.ndarray, depth: PixelData) -> np.ndarray:
        """Colours for depths, with the least and the greatest one written in."""
        values = np.asarray(depth.depth, dtype=np.float32)[0]
        if values.shape != image.shape[:2]:
            raise ValueError(f'the map is {values.shape} pixels but the image {image.shape[:2]} (height, width)')
        _, factor, style = self._canvas(image)
        return paint_depth(values, factor, style.font)

    def _draw_map(
        self, image: np.ndarray, index_map: np.ndarray, colors: np.ndarray, texts: dict[int, str]
    ) -> np.ndarray:
        """Paint a map of rows of ``colors`` (-1 = nothing) and write ``texts`` on the regions."""
        canvas, factor, style = self._canvas(image)
        index_map = enlarge(index_map, factor)
        canvas = paint_map(canvas, index_map, colors, self.alpha, style.line)
        marks = []
        for index, box in enumerate(find_objects(index_map + 1)):
            place = None if box is None or index not in texts else inner_point(index_map[box] == index)
            if place is not None:
                x, y = place[0] + box[1].start, place[1] + box[0].start
                marks.append(Label(texts[index], x, y, colors[index], place[2]))
        return draw_labels(canvas, marks, style.font)

    def _draw_heat(self, image: np.ndarray, values: Any, title: str) -> np.ndarray:
        """Colour the pixels of the grey image by values ``[1, H, W]`` from 0 to 1; a bar below tells which is which."""
        canvas, factor, style = self._canvas(image)
        heat = heat_colors(enlarge(np.asarray(values, np.float32)[0], factor, smooth=True))
        grey = canvas.mean(axis=2, keepdims=True)
        canvas = np.rint((1 - _HEAT) * grey + _HEAT * heat).astype(np.uint8)
        height, width = canvas.shape[:2]
        bar = max(style.line, style.font // 2)
        canvas[-bar:] = heat_colors(np.linspace(0, 1, width, dtype=np.float32))[None]
        dark, places = np.zeros(3, np.uint8), ((title, 0.5, style.font), ('0', 0.0, height - bar - style.font))
        marks = [Label(text, x * width, y, dark, 1.0) for text, x, y in (*places, ('1', 1.0, places[1][2]))]
        return draw_labels(canvas, marks, style.font)

    def _canvas(self, image: np.ndarray) -> tuple[np.ndarray, int, Style]:
        """A fresh picture to draw on, the factor by which it is enlarged, and sizes that suit it."""
        factor = enlarge_factor(image.shape[0], image.shape[1], self.min_size)
        canvas = np.ascontiguousarray(enlarge(image, factor, smooth=True))
        return (canvas if factor > 1 else canvas.copy()), factor, Style.of(*canvas.shape[:2])

    def _classes_of(self, sample: XDetDataSample) -> list[str] | None:
        vocabulary = sample.get('vocabulary')
        if vocabulary is not None:
            return marked_names(sample, vocabulary.names)
        classes = self.dataset_meta.get('classes') if self.dataset_meta else None
        return list(classes) if classes is not None else None


_GROUND_TRUTH = ('gt_poses', 'gt_panoptic_seg', 'gt_instances', 'gt_sem_seg', 'gt_phrases', 'gt_depth')
_PREDICTIONS = (
    'pred_panoptic_seg',
    'pred_instances',
    'pred_sem_seg',
    'pred_uncertainty',
    'pred_phrases',
    'pred_region_captions',
    'pred_poses',
    'pred_objects',
    'pred_depth',
)
# Fields whose regions have words of their own instead of classes.
_WORDED = dict(
    gt_phrases=true_phrase_regions,
    pred_phrases=phrase_regions,
    pred_region_captions=captioned_regions,
    pred_objects=shown_objects,
)


def _names_and_colors(classes: list[str] | None, palette: Any, count: int) -> tuple[list[str], np.ndarray]:
    """Names and uint8 ``[K, 3]`` colours; labels beyond the list (K at least ``count``) are called by number."""
    names = classes if classes is not None else [f'class {label}' for label in range(count)]
    if palette is not None and not isinstance(palette, str) and len(palette) >= len(names):
        return names, np.asarray(palette, dtype=np.uint8)
    return names, class_colors([name.removesuffix(FAR_MARK) for name in names])


def _indices(id_map: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Position in ``ids`` of every value of a map, -1 for other values."""
    values, inverse = np.unique(id_map, return_inverse=True)
    position = {value: index for index, value in enumerate(ids)}
    return np.array([position.get(value, -1) for value in values.tolist()])[inverse].reshape(id_map.shape)


def _as_map(data: Any, image: np.ndarray) -> np.ndarray:
    """Integer map ``[H, W]`` of a ``[1, H, W]`` or ``[H, W]`` tensor; it must cover the image."""
    array = np.asarray(data)
    array = array.reshape(array.shape[-2:]).astype(np.int64)
    if array.shape != image.shape[:2]:
        raise ValueError(f'the map is {array.shape} pixels but the image {image.shape[:2]} (height, width)')
    return array


def _as_masks(masks: Any) -> np.ndarray:
    """bool ``[n, H, W]`` of tensors, arrays or mmdet's mask classes."""
    if hasattr(masks, 'to_ndarray'):
        masks = masks.to_ndarray()
    return np.asarray(masks).astype(bool)


def _side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    gap = np.full((panels[0].shape[0], _GAP, 3), 255, dtype=np.uint8)
    row = [panels[0]]
    for panel in panels[1:]:
        row += [gap, panel]
    return np.concatenate(row, axis=1) if len(row) > 1 else row[0]
