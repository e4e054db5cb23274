"""The sample that travels from the data pipeline through the model to metrics and visualisation."""

from __future__ import annotations

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData


class XDetDataSample(DetDataSample):
    """``mmdet``'s sample with the fields xdet adds; everything in mmdet that reads its fields keeps working.

    Meta information (``set_metainfo``):
        vocabulary (Vocabulary): Class names this image is segmented or classified with.
        tasks (tuple[str, ...]): Tasks asked for, such as ``('panoptic',)``; absent means the model's default. In
            training, the only tasks that learn from the sample; absent means all that find targets.
        phrases, questions, captions (tuple[str, ...]): What to find, to answer, and to compare the image with.
        generation (dict): Changes to the model's :class:`~xdet.tasks.generation.GenerationSettings`.
        caption (str), nouns, questions (tuple[str, ...]), answers (tuple[dict[str, float], ...]): Targets of training;
            the keys are there, perhaps with empty values, for every sample of a source that has such targets.
        phrase_mode (str): Whether ``gt_phrases`` are referring expressions (``'text'``) or class names (``'class'``).
        img_path, img_id, ori_shape, img_shape: As in mmdet. ``img_shape`` is the un-padded network input size and
        ``ori_shape`` the size of results, both ``(height, width)``.

    Prompt:
        region_prompts (InstanceData): ``masks`` bool ``[n, H, W]`` in ``ori_shape``, regions to describe.

    Ground truth:
        gt_phrases (InstanceData): ``masks`` bool ``[n, H, W]``, as in ``gt_segments`` for training and in original
            resolution for testing, and ``texts``, a list of n phrases.
        gt_regions (InstanceData): ``masks`` as in ``gt_segments`` and ``texts`` that describe them, for training.
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
        pred_phrases (InstanceData): A row per phrase, in order: ``masks`` bool ``[n, H, W]``, ``scores`` (mean
            foreground probability inside the mask), ``similarities`` (cosine of phrase and query), ``bboxes``.
        pred_captions (list[dict]): ``text`` and ``score`` (mean log-probability per token), best first.
        pred_region_captions (list[list[dict]]): The same for every region.
        pred_answers (list[list[dict]]): For every question ``answer`` and ``score`` (probability), best first.
        pred_classes (InstanceData): ``labels`` into the vocabulary and ``scores`` ``[k]``, best first.
        pred_embedding (Tensor): ``[2, C]`` unit vectors for retrieval, of the decoder and of the backbone;
            with ``captions`` also ``pred_text_embeddings`` ``[m, C]`` and ``pred_text_scores`` ``[m]``.
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
