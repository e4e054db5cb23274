"""The sample that travels from the data pipeline through the model to metrics and visualisation."""

from __future__ import annotations

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData


class XDetDataSample(DetDataSample):
    """``mmdet``'s sample with the fields xdet adds; everything in mmdet that reads its fields keeps working.

    Meta information (``set_metainfo``):
        vocabulary (Vocabulary): Class names this image is segmented with.
        tasks (tuple[str, ...]): Tasks asked for, such as ``('panoptic',)``; absent means the model's default.
        img_path, img_id, ori_shape, img_shape: As in mmdet. ``img_shape`` is the un-padded network input size and
        ``ori_shape`` the size of results, both ``(height, width)``.

    Ground truth:
        gt_segments (InstanceData): ``masks`` bool ``[n, H, W]`` in the (augmented, un-padded) network image,
            ``labels`` int64 ``[n]`` into the vocabulary. What segmentation training needs, nothing else.
        gt_sem_seg (PixelData): ``sem_seg`` int64 ``[1, H, W]`` in original resolution, :data:`IGNORE` where unlabelled.
        gt_panoptic_seg (PixelData): ``sem_seg`` int32 ``[1, H, W]`` segment ids (0 = void) in original resolution with
            ``segments_info`` as meta information: dicts of ``id, label, is_thing, iscrowd``.

    Predictions, all in ``ori_shape``:
        pred_sem_seg (PixelData): ``sem_seg`` int64 ``[1, H, W]`` labels.
        pred_panoptic_seg (PixelData): ``sem_seg`` int32 ``[1, H, W]`` segment ids, 0 = void, with ``segments_info`` as
            meta information: dicts of ``id, label, is_thing, score``.
        pred_instances (InstanceData): ``masks`` bool ``[n, H, W]``, ``labels``, ``scores``, ``bboxes`` xyxy ``[n, 4]``
            in pixels, tight around the masks.
    """

    IGNORE = -1
    """Label of pixels that ``gt_sem_seg`` leaves unlabelled; outside any number of classes."""

    @property
    def gt_segments(self) -> InstanceData:
        """Segments to learn, see the class documentation."""
        return self._gt_segments

    @gt_segments.setter
    def gt_segments(self, value: InstanceData) -> None:
        self.set_field(value, '_gt_segments', dtype=InstanceData)

    @gt_segments.deleter
    def gt_segments(self) -> None:
        del self._gt_segments


def segment_map(data, segments_info: list[dict]) -> PixelData:
    """Panoptic field of a sample: ids ``[1, H, W]`` (or ``[H, W]``) with their description.

    Args:
        data (Tensor): Segment ids, 0 = void.
        segments_info (list[dict]): One dict per id.
    """
    return PixelData(metainfo=dict(segments_info=segments_info), sem_seg=data if data.ndim == 3 else data[None])
