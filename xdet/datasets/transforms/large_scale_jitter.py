"""Large-scale jitter: the training augmentation of X-Decoder on COCO (docs/model.md, 8)."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.structures.mask import BitmapMasks
from PIL import Image

from xdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LargeScaleJitter(BaseTransform):
    """Resize by a random scale, then crop or pad to a fixed size. Flipping is a transform of its own.

    The image is resized with Pillow, bilinear and keeping its ratio, to fit into ``size`` times a scale that is uniform
    in ``scale_range``; annotations are resized by nearest neighbour. What exceeds ``size`` is cropped at a random
    offset, what is missing is padded at the right and bottom.

    Required keys: ``img``. Modified if present: ``gt_seg_map``, or ``gt_masks`` with ``gt_bboxes``.
    Added keys: ``img_shape``, ``scale_factor``, ``homography_matrix`` (as mmdet's transforms).

    Args:
        size (tuple[int, int]): Height and width of the result.
        scale_range (tuple[float, float]): Range of the random scale.
        shared_offset (bool): Draw one random number for the crop offsets of both axes, as the official code does
            (crops then lie on a diagonal); False draws two.
        image_pad_value (int): Grey value of padding. Annotations are padded with void.

    Raises:
        ValueError: A size or scale is not positive.
    """

    def __init__(
        self,
        size: tuple[int, int] = (1024, 1024),
        scale_range: tuple[float, float] = (0.1, 2.0),
        shared_offset: bool = True,
        image_pad_value: int = 128,
    ) -> None:
        if min(size) < 1 or not 0 < scale_range[0] <= scale_range[1] < float('inf'):
            raise ValueError(f'size is {size} and scale_range {scale_range}; sizes and scales must be positive')
        self.size = (int(size[0]), int(size[1]))
        self.scale_range = (float(scale_range[0]), float(scale_range[1]))
        self.shared_offset = shared_offset
        self.image_pad_value = image_pad_value

    @cache_randomness
    def _random_scale(self) -> float:
        return np.random.uniform(*self.scale_range)

    @cache_randomness
    def _random_offsets(self) -> tuple[float, float]:
        first = np.random.uniform(0.0, 1.0)
        return first, first if self.shared_offset else np.random.uniform(0.0, 1.0)

    def transform(self, results: dict) -> dict:
        """Jitter image and annotations alike."""
        old = np.array(results['img'].shape[:2])
        new = self._resized_shape(old)
        # Half to even in both roundings, as NumPy does in the official code.
        offset = np.round(np.maximum(new - self.size, 0) * self._random_offsets()).astype(int)
        results['img'] = self._jitter(results['img'], new, offset, Image.Resampling.BILINEAR, self.image_pad_value)
        if results.get('gt_seg_map') is not None:
            results['gt_seg_map'] = self._jitter(results['gt_seg_map'], new, offset, Image.Resampling.NEAREST, 0)
        if results.get('gt_masks') is not None:
            results['gt_masks'] = self._jitter_masks(results['gt_masks'], new, offset)
        scale_factor = (new[1] / old[1], new[0] / old[0])
        if results.get('gt_bboxes') is not None:
            results['gt_bboxes'].rescale_(scale_factor)
            results['gt_bboxes'].translate_((-int(offset[1]), -int(offset[0])))
            results['gt_bboxes'].clip_(self.size)
        results.update(img_shape=self.size, scale_factor=scale_factor)
        matrix = np.array([[scale_factor[0], 0, -offset[1]], [0, scale_factor[1], -offset[0]], [0, 0, 1]], np.float32)
        before = results.get('homography_matrix')
        results['homography_matrix'] = matrix if before is None else matrix @ before
        return results

    def _resized_shape(self, shape: np.ndarray) -> np.ndarray:
        """Height and width to which an image of ``shape`` is resized, at least one pixel each."""
        target = self._random_scale() * np.array(self.size)
        return np.maximum(np.round(shape * (target / shape).min()).astype(int), 1)

    def _jitter(
        self, pixels: np.ndarray, shape: np.ndarray, offset: np.ndarray, resample: Image.Resampling, pad_value: int
    ) -> np.ndarray:
        """Resize ``[H, W, ...]`` to ``shape``, crop at ``offset``, pad to ``size``."""
        image = Image.fromarray(np.ascontiguousarray(pixels)).resize((int(shape[1]), int(shape[0])), resample)
        end = np.minimum(shape, offset + self.size)
        cropped = np.asarray(image)[offset[0] : end[0], offset[1] : end[1]]
        result = np.full((*self.size, *pixels.shape[2:]), pad_value, dtype=pixels.dtype)
        result[: cropped.shape[0], : cropped.shape[1]] = cropped
        return result

    def _jitter_masks(self, masks: BitmapMasks, shape: np.ndarray, offset: np.ndarray) -> BitmapMasks:
        jittered = [self._jitter(mask, shape, offset, Image.Resampling.NEAREST, 0) for mask in masks.masks]
        return BitmapMasks(jittered, *self.size)
