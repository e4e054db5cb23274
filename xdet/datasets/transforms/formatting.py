"""The end of every pipeline: tensors and a data sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from xdet.registry import TRANSFORMS
from xdet.structures import MapMasks, XDetDataSample, segment_map

from .box_affinity import like_neighbours
from .flipping import check_flip
from .text_masks import described

META_KEYS = (
    'img_path', 'img_id', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction', 'vocabulary',
    'caption', 'nouns', 'captions', 'phrase_mode',
    'questions', 'question_kinds', 'question_types', 'question_ids', 'answers', 'human_answers',
)  # fmt: skip


@TRANSFORMS.register_module()
class PackXDetInputs(BaseTransform):
    """Pack ``img`` and annotations into ``inputs`` and an :class:`XDetDataSample`.

    ``inputs`` is ``[3, H, W]`` in the channel order and type of ``img`` (BGR uint8 from :class:`LoadXDetImage`).

    For training, ``gt_segments`` (unless ``segments`` is off) gets ``masks`` (:class:`MapMasks` of a map, bool
    ``[n, H, W]`` of instances) and ``labels`` int64 ``[n]`` of the segments that are no crowd. For testing, ground
    truth is what metrics read, in the resolution of the file: ``gt_sem_seg`` (``gt_sem_map``, or the segments, where
    crowds count as their class) and ``gt_panoptic_seg`` (where segment i has id i + 1); instances are left to the
    metric, which reads the annotation file.

    Samples with ``boxes_only`` have, instead of ``masks``, ``boxes`` float ``[n, 4]``, xyxy in pixels, and with
    ``box_affinity`` the meta information ``alike`` of ``gt_segments``, see
    :func:`~xdet.datasets.transforms.box_affinity.like_neighbours`.

    What ``LoadKeypoints`` found becomes ``keypoints`` and ``posed`` of ``gt_segments``, or for testing ``gt_poses``.

    What ``LoadDepth`` found becomes ``gt_depth``.

    Texts that the pipeline has are carried along in the meta information: ``caption`` str, ``nouns`` tuple[str] and
    ``phrase_mode`` str for training; ``captions`` tuple[str] for testing; ``questions`` tuple[str] and ``answers``
    tuple[dict[str, float]], one per question, for both, and what else ``VQADataset`` says about each question.

    ``phrases`` is a list of dicts: ``text``; what it refers to, as ``segments`` (positions in ``segments_info``, in
    ``gt_seg_map``) or as ``instances`` (rows of ``gt_masks``), none of them if it refers to nothing in the image; and
    optionally ``kind``. It becomes ``gt_phrases`` with ``masks`` bool ``[n, H, W]``, the union of what each refers to,
    in the resolution of the other annotations, and ``texts``. In training, phrases are dropped if cropping left nothing
    of what they refer to; for testing their texts and kinds also become the meta information ``phrases``, which asks
    for predictions, and ``phrase_kinds``.

    ``regions``, of the same form, are regions with a text that describes each. They become ``gt_regions`` (``masks``
    and ``texts``) for training, and ``region_prompts`` (``masks``) with the meta information ``region_captions`` for
    testing.

    Args:
        test_mode (bool): Pack ground truth for metrics instead of training targets.
        segments (bool): Whether training samples get ``gt_segments``; False for data without segments, such as
            image-text pairs.
        keep_empty (bool): Keep segments that cropping left without a pixel, as the official code does. They have
            nothing to learn from, so the default drops them.
        box_affinity (bool): Compare colours of neighbouring pixels, for ``BoxMaskLoss``.
        tasks (Sequence[str], optional): Tasks to ask the model for, put into the meta information. In training: the
            only ones that learn from the sample, whatever else it has targets for.
        meta_keys (Sequence[str]): Keys to copy into the meta information where present.
    """

    def __init__(
        self,
        test_mode: bool = False,
        segments: bool = True,
        keep_empty: bool = False,
        box_affinity: bool = False,
        tasks: Sequence[str] | None = None,
        meta_keys: Sequence[str] = META_KEYS,
    ) -> None:
        self.test_mode = test_mode
        self.segments = segments
        self.keep_empty = keep_empty
        self.box_affinity = box_affinity
        self.tasks = tasks
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample into ``inputs`` and ``data_samples``."""
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        sample = XDetDataSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        check_flip(results)
        if self.tasks is not None:
            sample.set_metainfo(dict(tasks=tuple(self.tasks)))
        if self.test_mode:
            self._add_ground_truth(sample, results)
        elif self.segments:
            sample.gt_segments = self._segments(results)
        if 'loaded_depth' in results:
            sample.gt_depth = results['loaded_depth'].packed(results, self.test_mode)
        if results.get('phrases') is not None:
            self._add_phrases(sample, results)
        if results.get('regions') is not None:
            self._add_regions(sample, results)
        return dict(inputs=torch.from_numpy(image), data_samples=sample)

    def _segments(self, results: dict) -> InstanceData:
        if results.get('boxes_only'):
            if 'loaded_keypoints' in results:
                raise ValueError(f'{results.get("img_path")}: keypoints need segments with masks, not boxes_only=True')
            return self._boxes(results)
        if 'gt_seg_map' in results:
            masks, labels = _masks_of_map(results['gt_seg_map'], results['segments_info'])
            filled = masks.filled()
            kept = ~np.array([segment['iscrowd'] for segment in results['segments_info']], dtype=bool)
        elif 'gt_masks' in results:
            masks, labels = _masks_of_instances(results)
            filled = masks.flatten(1).any(1)
            kept = ~np.asarray(results['gt_ignore_flags'], dtype=bool)
        else:
            raise ValueError(
                f'{results.get("img_path")}: no annotations to train on; put LoadSegments before PackXDetInputs, '
                'or set segments=False (nothing to segment) or test_mode=True'
            )
        if not self.keep_empty:
            masks, labels = masks[filled], labels[filled]
            kept[kept] = filled.numpy()
        segments = InstanceData(masks=masks, labels=labels)
        if 'loaded_keypoints' in results:
            results['loaded_keypoints'].add_to(segments, results, kept)
        return segments

    def _boxes(self, results: dict) -> InstanceData:
        """Boxes that are no crowd and of which cropping left something."""
        boxes = results['gt_bboxes'].tensor.float()
        labels = torch.from_numpy(np.asarray(results['gt_bboxes_labels'], dtype=np.int64))
        kept = ~torch.from_numpy(np.asarray(results['gt_ignore_flags'], dtype=bool))
        kept &= (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
        alike = dict(alike=like_neighbours(results['img'])) if self.box_affinity else {}
        return InstanceData(metainfo=alike, boxes=boxes[kept], labels=labels[kept])

    @staticmethod
    def _add_ground_truth(sample: XDetDataSample, results: dict) -> None:
        if 'gt_bboxes' in results:
            sample.gt_instances = _true_instances(results)
        if 'loaded_keypoints' in results:
            sample.gt_poses = results['loaded_keypoints'].poses()
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
        semantic = torch.from_numpy(results['gt_sem_map']) if 'gt_sem_map' in results else labels[indices]
        sample.gt_sem_seg = PixelData(sem_seg=semantic[None])
        described = [{**segment, 'id': index} for index, segment in enumerate(segments, start=1)]
        sample.gt_panoptic_seg = segment_map(indices.to(torch.int32), described)

    def _add_regions(self, sample: XDetDataSample, results: dict) -> None:
        masks, regions = described(results, 'regions', self.test_mode, self.keep_empty)
        texts = [region['text'] for region in regions]
        if self.test_mode:
            sample.region_prompts = InstanceData(masks=masks)
            sample.set_metainfo(dict(region_captions=tuple(texts)))
        else:
            sample.gt_regions = InstanceData(masks=masks, texts=texts)

    def _add_phrases(self, sample: XDetDataSample, results: dict) -> None:
        masks, phrases = described(results, 'phrases', self.test_mode, self.keep_empty)
        if self.test_mode:
            texts = tuple(phrase['text'] for phrase in phrases)
            sample.set_metainfo(dict(phrases=texts))
            if all('kind' in phrase for phrase in phrases):
                sample.set_metainfo(dict(phrase_kinds=tuple(phrase['kind'] for phrase in phrases)))
        sample.gt_phrases = InstanceData(masks=masks, texts=[phrase['text'] for phrase in phrases])


def _masks_of_map(indices: np.ndarray, segments: list[dict]) -> tuple[MapMasks, Tensor]:
    """Masks ``[n, H, W]`` and labels ``[n]`` of the segments that are no crowd."""
    kept = [(index, segment['label']) for index, segment in enumerate(segments, start=1) if not segment['iscrowd']]
    masks = MapMasks.of(indices, [(index,) for index, _ in kept], len(segments) + 1)
    return masks, torch.tensor([label for _, label in kept], dtype=torch.int64)


def _true_instances(results: dict) -> InstanceData:
    """Boxes, labels and, where there are any, masks of the instances that are no crowd, in original pixels."""
    kept = ~np.asarray(results['gt_ignore_flags'], dtype=bool)
    instances = InstanceData(
        bboxes=results['gt_bboxes'].tensor[torch.from_numpy(kept)],
        labels=torch.from_numpy(np.asarray(results['gt_bboxes_labels'], dtype=np.int64)[kept]),
    )
    if 'gt_masks' in results:
        masks = results['gt_masks']
        size, original = (masks.height, masks.width), tuple(results['ori_shape'])
        if size != original:
            raise ValueError(
                f'{results.get("img_path")}: ground truth was resized to {size} but is compared in the original '
                f'{original}; in a test pipeline put LoadSegments after resizing'
            )
        instances.masks = torch.from_numpy(masks.to_ndarray().reshape(-1, masks.height, masks.width)[kept].astype(bool))
    return instances


def _masks_of_instances(results: dict) -> tuple[Tensor, Tensor]:
    """Masks ``[n, H, W]`` and labels ``[n]`` of the instances that are no crowd."""
    height, width = results['img'].shape[:2]
    kept = ~np.asarray(results['gt_ignore_flags'], dtype=bool)
    masks = results['gt_masks'].to_ndarray().reshape(-1, height, width)[kept].astype(bool)
    labels = np.asarray(results['gt_bboxes_labels'], dtype=np.int64)[kept]
    return torch.from_numpy(masks), torch.from_numpy(labels)
