"""The sample that travels from the data pipeline through the model to metrics and visualisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor

from .prompts import TextPrompts


class _Typed:
    """A field of a sample that takes values of one type only, kept under its name with an underscore before it."""

    def __init__(self, name: str, kind: type) -> None:
        self.name, self.kind = name, kind

    def get(self, sample: BaseDataElement) -> Any:
        try:
            return vars(sample)[f'_{self.name}']
        except KeyError:
            has = ', '.join(sorted([*sample.keys(), *sample.metainfo_keys()])) or 'nothing'
            raise AttributeError(f"this sample has no '{self.name}'; it has {has}") from None

    def set(self, sample: BaseDataElement, value: Any) -> None:
        sample.set_field(value, f'_{self.name}', dtype=self.kind)

    def delete(self, sample: BaseDataElement) -> None:
        self.get(sample)
        delattr(sample, f'_{self.name}')

    def property(self) -> property:
        return property(self.get, self.set, self.delete)


class XDetDataSample(BaseDataElement):
    """A sample with the fields of ``mmdet.structures.DetDataSample`` and those that xdet adds.

    What reads a sample of mmdet by its fields can read this one; it is no subclass, so that nothing of xdet has to
    import mmdet for it.

    Meta information (``set_metainfo``):
        vocabulary (Vocabulary): Class names this image is segmented or classified with.
        tasks (tuple[str, ...]): What the annotations serve, such as ``('panoptic',)``: in training, the only tasks that
            learn from the sample (absent means all that find targets); in testing, those that are tested.
        phrases, questions, captions (tuple[str, ...]): What people said about the image, or asked.
        caption (str), nouns, questions (tuple[str, ...]), answers (tuple[dict[str, float], ...]): Targets of training;
            the keys are there, perhaps with empty values, for every sample of a source that has such targets.
        phrase_mode (str): Whether ``gt_phrases`` are referring expressions (``'text'``) or class names (``'class'``).
        img_path, img_id, ori_shape, img_shape: As in mmdet. ``img_shape`` is the un-padded network input size and
        ``ori_shape`` the size of results, both ``(height, width)``.

    Prompt:
        prompts (TextPrompts): What is asked of the image. A sample of which nothing was asked, as test pipelines make
            them, is asked about its ground truth: its ``tasks``, ``vocabulary``, ``phrases``, ``questions``,
            ``captions`` and ``region_prompts``.

    Ground truth:
        region_prompts (InstanceData): ``masks`` bool ``[n, H, W]`` in ``ori_shape``, regions that people described.
        gt_phrases (InstanceData): ``masks`` bool ``[n, H, W]``, as in ``gt_segments`` for training and in original
            resolution for testing, and ``texts``, a list of n phrases.
        gt_regions (InstanceData): ``masks`` as in ``gt_segments`` and ``texts`` that describe them, for training.
        gt_segments (InstanceData): ``masks`` bool ``[n, H, W]`` in the (augmented, un-padded) network image
            (:class:`MapMasks` until the data preprocessor expands them),
            ``labels`` int64 ``[n]`` into the vocabulary. What segmentation training needs, nothing else; for pose also
            ``keypoints`` float ``[n, K, 3]`` (x, y, and v: 0 where a point is unlabelled) and ``posed`` int8 ``[n]``,
            whether a segment has keypoints: 1, 0, or -1 where that is not known.
        gt_poses (InstanceData): ``keypoints`` float ``[n, K, 3]``, ``bboxes`` and ``labels`` in original resolution,
            with ``keypoint_names`` and ``skeleton`` as meta information, for drawing.
        gt_instances (InstanceData): ``bboxes`` xyxy ``[n, 4]``, ``labels`` and, unless only boxes are annotated,
            ``masks`` bool ``[n, H, W]`` in original resolution, without crowds, for drawing.
        gt_depth (PixelData): ``depth`` float32 ``[1, H, W]`` in metres, 0 where it is not known; in the network image
            for training, in original resolution for testing.
        gt_sem_seg (PixelData): ``sem_seg`` int64 ``[1, H, W]`` in original resolution, :data:`IGNORE` where unlabelled,
            :data:`BACKGROUND` where none of the classes is.
        gt_panoptic_seg (PixelData): ``sem_seg`` int32 ``[1, H, W]`` segment ids (0 = void) in original resolution with
            ``segments_info`` as meta information: dicts of ``id, label, is_thing, iscrowd``.

    Predictions, all in ``ori_shape``:
        pred_sem_seg (PixelData): ``sem_seg`` int64 ``[1, H, W]`` labels; :data:`BACKGROUND` where the model found none
            of the classes, if it was told to look for that.
        pred_panoptic_seg (PixelData): ``sem_seg`` int32 ``[1, H, W]`` segment ids, 0 = void, with ``segments_info`` as
            meta information: dicts of ``id, label, is_thing, score``.
        pred_instances (InstanceData): ``masks`` bool ``[n, H, W]``, ``labels``, ``scores``, ``bboxes`` xyxy ``[n, 4]``
            in pixels, tight around the masks, and ``queries``, which object query made each.
        pred_presence (Tensor): ``[K]`` of segmentation: for every name of the vocabulary the highest probability that
            a query gives it, whether the name is in the image at all.
        pred_uncertainty (PixelData): of segmentation, where it was asked for: ``entropy``, ``confidence`` and
            ``agreement``, float ``[1, H, W]`` from 0 to 1 (:func:`xdet.models.postprocess.uncertainty`).
        pred_phrases (InstanceData): A row per phrase, in order: ``masks`` bool ``[n, H, W]``, ``scores`` (mean
            foreground probability inside the mask), ``similarities`` (cosine of phrase and query), ``bboxes``.
            A phrase below a threshold has an empty mask.
        pred_objects (InstanceData): Answers to clicks, boxes and rough masks: ``masks`` bool ``[n, H, W]``, ``scores``,
            ``bboxes``, ``queries``, ``objects``, which of the objects that were shown each is about, best first, and
            ``embeddings`` ``[n, C]``, what queries can be compared with as with the names of classes.
        pred_captions (list[dict]): ``text`` and ``score`` (mean log-probability per token), best first.
        pred_region_captions (list[list[dict]]): The same for every region.
        pred_answers (list[list[dict]]): For every question ``answer`` and ``score`` (probability), best first.
        pred_classes (InstanceData): ``labels`` into the vocabulary and ``scores`` ``[k]``, best first.
        pred_poses (InstanceData): ``keypoints`` float ``[n, K, 2]`` (x, y), ``keypoint_scores`` ``[n, K]`` (probability
            to be visible), ``masks``, ``labels``, ``scores``, ``bboxes``; meta information as of ``gt_poses``.
        pred_depth (PixelData): ``depth`` float32 ``[1, H, W]`` in metres.
        pred_embedding (Tensor): ``[2, C]`` unit vectors for retrieval, of the decoder and of the backbone;
            with texts to compare also ``pred_text_embeddings`` ``[m, C]`` and ``pred_text_scores`` ``[m]``.
    """

    IGNORE = -1
    """Label of pixels that ``gt_sem_seg`` leaves unlabelled; outside any number of classes."""
    BACKGROUND = -2
    """Label of pixels that are known to show, or were found to show, none of the classes."""

    @property
    def prompts(self) -> TextPrompts:
        """What is asked of the image, see the class documentation."""
        return self._prompts if '_prompts' in self else TextPrompts.about_ground_truth(self)

    @prompts.setter
    def prompts(self, value: TextPrompts) -> None:
        self.set_field(value, '_prompts', dtype=TextPrompts)

    @prompts.deleter
    def prompts(self) -> None:
        del self._prompts

    if TYPE_CHECKING:
        proposals: InstanceData
        gt_instances: InstanceData
        gt_segments: InstanceData
        ignored_instances: InstanceData
        pred_instances: InstanceData
        pred_track_instances: InstanceData
        gt_panoptic_seg: PixelData
        gt_sem_seg: PixelData
        pred_panoptic_seg: PixelData
        pred_sem_seg: PixelData


for _kind, _names in {
    InstanceData: 'proposals gt_instances gt_segments ignored_instances pred_instances pred_track_instances',
    PixelData: 'gt_panoptic_seg gt_sem_seg pred_panoptic_seg pred_sem_seg',
}.items():
    for _name in _names.split():
        setattr(XDetDataSample, _name, _Typed(_name, _kind).property())


def segment_map(data: Tensor, segments_info: list[dict]) -> PixelData:
    """Panoptic field of a sample: ids ``[1, H, W]`` (or ``[H, W]``) with their description.

    Args:
        data (Tensor): Segment ids, 0 = void.
        segments_info (list[dict]): One dict per id.
    """
    return PixelData(metainfo=dict(segments_info=segments_info), sem_seg=data if data.ndim == 3 else data[None])


def phrase_names(sample: XDetDataSample) -> list[str]:
    """Names of the rows of ``pred_phrases``."""
    return list(sample.prompts.phrases) or [str(number) for number in range(1, len(sample.pred_phrases) + 1)]


def described_masks(sample: XDetDataSample) -> Tensor:
    """Masks ``[n, H, W]`` that the captions of regions are about: given ones, else those found for phrases."""
    regions = sample.prompts.regions
    masks: Tensor = regions if isinstance(regions, Tensor) else sample.pred_phrases.masks
    return masks
