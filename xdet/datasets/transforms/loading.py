"""Transforms that read files: images and the segments annotated in them."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadAnnotations

from xdet.datasets.files.image_io import as_bgr, decode_image, read_image
from xdet.datasets.files.segment_maps import read_label_map, read_panoptic_map, read_semantic_map, void_values
from xdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadXDetImage(BaseTransform):
    """Read the image of a sample, whatever its kind; see :func:`xdet.datasets.files.image_io.decode_image`.

    Required keys: ``img_path``, or ``img`` holding an array already, or ``img_bytes`` holding the file (removed).
    Added keys: ``img`` uint8 ``[H, W, 3]`` BGR, ``img_shape``, ``ori_shape``.

    Args:
        backend_args (dict, optional): Of MMEngine's file backend.

    Raises:
        ImageReadError: The image is missing, damaged, or of a kind that is not accepted.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Add the image."""
        if results.get('img') is not None:
            results['img'] = as_bgr(results['img'], results.get('img_path') or 'array')
        elif 'img_bytes' in results:
            results['img'] = decode_image(results.pop('img_bytes'), results.get('img_path') or 'image')
        else:
            results['img'] = read_image(results['img_path'], self.backend_args)
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadSegments(BaseTransform):
    """Read the annotated segments of a sample in the one form that all transforms understand.

    From a panoptic PNG (sample has ``seg_map_path`` and ``segments_info``) or a label PNG (``seg_map_path``,
    ``ignore_label``, ``label_offset`` and perhaps ``background_label``): ``gt_seg_map``, uint8 or uint16 ``[H, W]``,
    where value i + 1 means ``segments_info[i]`` and 0 void. Small indices instead of 24-bit ids survive every resize
    and flip of mmcv, mmdet and mmseg. Crowds have entries, marked ``iscrowd``; segments without a label (-1) become
    void.

    From COCO instances (``instances``): ``gt_masks``, ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags``, as
    mmdet's ``LoadAnnotations`` gives them; without ``gt_masks`` where the sample has ``boxes_only``.

    From a sample with ``sem_map_path`` too, and from a label PNG with a ``background_label``: ``gt_sem_map``, int64
    ``[H, W]`` labels, semantic ground truth for testing that is not what the segments add up to.

    A sample with ``seg_map_path=None`` passes through: test images without labels.

    Put it after the image is read; in a test pipeline after resizing, so that ground truth keeps its resolution.

    Raises:
        ValueError: The sample has no annotations, or they do not fit image or class list. File and value are named.
    """

    def __init__(self) -> None:
        self._load_instances = LoadAnnotations(with_bbox=True, with_mask=True, poly2mask=True)
        self._load_boxes = LoadAnnotations(with_bbox=True)

    def transform(self, results: dict) -> dict:
        """Add the segments."""
        if 'instances' in results:
            self._check_size(results, (results['height'], results['width']), 'annotation file')
            return self._load_boxes(results) if results.get('boxes_only') else self._load_instances(results)
        if 'seg_map_path' not in results:
            raise ValueError(f'{results.get("img_path")}: no annotations (seg_map_path or instances) to load')
        path = results['seg_map_path']
        if path is None:
            return results
        if 'segments_info' in results:
            segment_map, segments = read_panoptic_map(path, results['segments_info'])
        else:
            segment_map, segments = self._label_map(results)
        self._check_size(results, segment_map.shape, path)
        if 'sem_map_path' in results:
            path = results['sem_map_path']
            results['gt_sem_map'] = read_semantic_map(path, results['vocabulary'], **results['sem_map_values'])
            self._check_size(results, results['gt_sem_map'].shape, path)
        results.update(gt_seg_map=segment_map, segments_info=segments, seg_fields=['gt_seg_map'])
        return results

    @staticmethod
    def _label_map(results: dict) -> tuple[np.ndarray, list[dict]]:
        """Segments of a label image. Background is none; where the data set names it, it is known to be none."""
        path, vocabulary, background = results['seg_map_path'], results['vocabulary'], results.get('background_label')
        void, offset = void_values(results['ignore_label']), results['label_offset']
        if background is None:
            return read_label_map(path, vocabulary, void, offset)
        results['gt_sem_map'] = read_semantic_map(path, vocabulary, void, offset, background)
        return read_label_map(path, vocabulary, (*void, background), offset)

    @staticmethod
    def _check_size(results: dict, annotated: tuple[int, ...], where: str) -> None:
        shape = tuple(results['ori_shape'])
        if shape != tuple(annotated):
            raise ValueError(
                f'{results.get("img_path")}: image is {shape[1]}x{shape[0]} pixels but its annotation '
                f'({where}) is for {annotated[1]}x{annotated[0]}; they must be equal'
            )
