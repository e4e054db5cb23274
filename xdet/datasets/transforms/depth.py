"""The depth map of an image, and how it moves with the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from numpy.typing import NDArray
from torch import from_numpy

from xdet.datasets.files.depth_maps import read_depth
from xdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Read the depth map of a sample; where in the pipeline does not matter.

    Maps follow the homography that transforms record, as all of mmdet's and xdet's do, by nearest neighbour: a mean of
    near and far would be a depth that is nowhere. Enlarging an image does not change its depths.

    Required keys: ``depth_path``, None for an image without a map, and ``depth_scale``. Added keys: ``loaded_depth``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no depth map, or one of another size than the image.
    """

    def transform(self, results: dict) -> dict:
        """Add the map."""
        if 'depth_path' not in results:
            raise ValueError(f'{results.get("img_path")}: no depth_path to load; use DepthFolderDataset')
        path = results['depth_path']
        if path is None:
            return results
        values = read_depth(path, results.get('depth_scale', 1000.0))
        size = tuple(results['ori_shape'][:2])
        if values.shape != size:
            raise ValueError(
                f'{path}: depth map is {values.shape[1]}x{values.shape[0]} pixels but its image '
                f'({results.get("img_path")}) {size[1]}x{size[0]}; they must be equal'
            )
        results['loaded_depth'] = DepthMap(values, str(results.get('img_path')))
        return results


@dataclass(frozen=True)
class DepthMap:
    """A depth map in pixels of its file.

    Attributes:
        values (NDArray): float32 ``[H, W]``, metres, 0 where it is not known.
        image (str): The image it belongs to, for errors.
    """

    values: NDArray[np.float32]
    image: str

    def moved(self, results: dict) -> NDArray[np.float32]:
        """The map of the image as it now is; not known outside of the file.

        Raises:
            ValueError: A transform moved pixels without saying how.
        """
        shape = tuple(results['img'].shape[:2])
        recorded = results.get('homography_matrix')
        matrix = np.eye(3) if recorded is None else np.asarray(recorded, dtype=np.float64)
        mirrored = bool(np.linalg.det(matrix) < 0)
        flipped = bool(results.get('flip')) and results.get('flip_direction') != 'diagonal'
        if flipped != mirrored or (recorded is None and shape != self.values.shape):
            raise ValueError(
                f'{self.image}: a transform moved the pixels without recording it as homography_matrix, so the depth '
                "map cannot follow; use mmdet's or xdet's transforms (mmdet.Resize, RandomFlipWithTexts, "
                'LargeScaleJitter)'
            )
        if recorded is None:
            return self.values
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from the centre of the first pixel
        matrix = np.linalg.inv(half) @ matrix @ half
        return cv2.warpPerspective(self.values, matrix, shape[::-1], flags=cv2.INTER_NEAREST, borderValue=0)

    def packed(self, results: dict, test_mode: bool) -> PixelData:
        """``depth`` ``[1, H, W]``: of the image as it now is for training, of the file for testing."""
        values = self.values if test_mode else self.moved(results)
        return PixelData(depth=from_numpy(np.ascontiguousarray(values))[None])
