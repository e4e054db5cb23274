"""The end of every pipeline: tensors and a data sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from xdet.registry import TRANSFORMS
from xdet.structures import XDetDataSample, segment_map

META_KEYS = (
    'img_path', 'img_id', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction', 'vocabulary',
)  # fmt: skip


@TRANSFORMS.register_module()
class PackXDetInputs(BaseTransform):
    """Pack ``img`` and annotations into ``inputs`` and an :class:`XDetDataSample`.

    ``inputs`` is ``[3, H, W]`` in the channel order and type of ``img`` (BGR uint8 from :class:`LoadXDetImage`).

    For training, ``gt_segments`` gets ``masks`` bool ``[n, H, W]`` and ``labels`` int64 ``[n]`` of the segments that
    are no crowd. For testing, ground truth is what metrics read, in the resolution of the file: ``gt_sem_seg`` (where
    crowds count as their class) and ``gt_panoptic_seg`` (where segment i has id i + 1); instances are left to the
    metric, which reads the annotation file.

    Args:
        test_mode (bool): Pack ground truth for metrics instead of training targets.
        keep_empty (bool): Keep segments that cropping left without a pixel, as the official code does. They have
            nothing to learn from, so the default drops them.
        tasks (Sequence[str], optional): Tasks to ask the model for, put into the meta information.
        meta_keys (Sequence[str]): Keys to copy into the meta information where present.
    """

    def __init__(
        self,
        test_mode: bool = False,
        keep_empty: bool = False,
        tasks: Sequence[str] | None = None,
        meta_keys: Sequence[str] = META_KEYS,
    ) -> None:
        self.test_mode = test_mode
        self.keep_empty = keep_empty
        self.tasks = tasks
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample into ``inputs`` and ``data_samples``."""
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        sample = XDetDataSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        if self.tasks is not None:
            sample.set_metainfo(dict(tasks=tuple(self.tasks)))
        if self.test_mode:
            self._add_ground_truth(sample, results)
        else:
            sample.gt_segments = self._segments(results)
        return dict(inputs=torch.from_numpy(image), data_samples=sample)

    def _segments(self, results: dict) -> InstanceData:
        if 'gt_seg_map' in results:
            masks, labels = _masks_of_map(results['gt_seg_map'], results['segments_info'])
        elif 'gt_masks' in results:
            masks, labels = _masks_of_instances(results)
        else:
            raise ValueError(
                f'{results.get("img_path")}: no annotations to train on; put LoadSegments before PackXDetInputs, '
                'or set test_mode=True'
            )
        if not self.keep_empty:
            filled = masks.flatten(1).any(1)
            masks, labels = masks[filled], labels[filled]
        return InstanceData(masks=masks, labels=labels)

    @staticmethod
    def _add_ground_truth(sample: XDetDataSample, results: dict) -> None:
        if 'gt_seg_map' not in results:
            return
        indices = torch.from_numpy(results['gt_seg_map'].astype(np.int64))
        segments = results['segments_info']
        if tuple(indices.shape) != tuple(results['ori_shape']):
            raise ValueError(
                f'{results.get("img_path")}: ground truth was resized to {tuple(indices.shape)} but metrics need the '
                f'original {tuple(results["ori_shape"])}; in a test pipeline put LoadSegments after resizing'
            )
        labels = torch.tensor([XDetDataSample.IGNORE, *(segment['label'] for segment in segments)])
        sample.gt_sem_seg = PixelData(sem_seg=labels[indices][None])
        described = [{**segment, 'id': index} for index, segment in enumerate(segments, start=1)]
        sample.gt_panoptic_seg = segment_map(indices.to(torch.int32), described)


def _masks_of_map(indices: np.ndarray, segments: list[dict]) -> tuple[Tensor, Tensor]:
    """Masks ``[n, H, W]`` and labels ``[n]`` of the segments that are no crowd."""
    kept = [(index, segment['label']) for index, segment in enumerate(segments, start=1) if not segment['iscrowd']]
    values = np.array([index for index, _ in kept], dtype=indices.dtype)
    masks = torch.from_numpy(indices[None] == values[:, None, None])
    return masks, torch.tensor([label for _, label in kept], dtype=torch.int64)


def _masks_of_instances(results: dict) -> tuple[Tensor, Tensor]:
    """Masks ``[n, H, W]`` and labels ``[n]`` of the instances that are no crowd."""
    height, width = results['img'].shape[:2]
    kept = ~np.asarray(results['gt_ignore_flags'], dtype=bool)
    masks = results['gt_masks'].to_ndarray().reshape(-1, height, width)[kept].astype(bool)
    labels = np.asarray(results['gt_bboxes_labels'], dtype=np.int64)[kept]
    return torch.from_numpy(masks), torch.from_numpy(labels)
