"""Pictures of samples: what a model learns from, and what it predicts beside what is true, with all texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.structures import InstanceData

from xdet.structures import XDetDataSample, expand_masks
from xdet.visualization.drawing import enlarge, enlarge_factor
from xdet.visualization.sheets import below, beside
from xdet.visualization.text_strip import TextLine, add_text_strip

if TYPE_CHECKING:
    from xdet.visualization.local_visualizer import XDetLocalVisualizer

PAIRS = (
    ('gt_panoptic_seg', 'pred_panoptic_seg'),
    ('gt_panoptic_seg', 'pred_instances'),
    ('gt_sem_seg', 'pred_sem_seg'),
    ('gt_phrases', 'pred_phrases'),
    ('gt_poses', 'pred_poses'),
    ('gt_depth', 'pred_depth'),
)
"""Fields that belong beside each other."""

FIELDS = dict(
    panoptic=('pred_panoptic_seg',),
    semantic=('pred_sem_seg',),
    instance=('pred_instances',),
    referring=('pred_phrases',),
    caption=('pred_captions',),
    region_caption=('pred_region_captions',),
    vqa=('pred_answers',),
    classification=('pred_classes',),
    pose=('pred_poses',),
    depth=('pred_depth',),
)
"""What metrics judge, by the prefix of their values."""


def comparison(
    visualizer: XDetLocalVisualizer,
    image: np.ndarray,
    sample: XDetDataSample,
    score_thr: float = 0.3,
    fields: Sequence[str] | None = None,
) -> np.ndarray:
    """A row for every kind of prediction, truth on the left, and below it what was said and what is true.

    Args:
        visualizer (XDetLocalVisualizer): Draws.
        image (np.ndarray): RGB uint8 ``[H, W, 3]`` in ``ori_shape``.
        sample (XDetDataSample): With predictions.
        score_thr (float): Instances and phrases with a lower score are not drawn.
        fields (Sequence[str], optional): Predictions to show; None shows all.

    Returns:
        np.ndarray: RGB uint8.
    """
    if fields is not None:
        sample = only(sample, *(truth for truth, _ in PAIRS), 'region_prompts', *fields)
    rows = []
    for truth, found in PAIRS:
        if found in sample:
            with_truth, with_prediction = only(sample, truth), only(sample, found)
            left = visualizer.draw(image, with_truth, draw_pred=False)
            right = visualizer.draw(image, with_prediction, draw_gt=False, pred_score_thr=score_thr)
            title = 'truth' if truth in sample else 'no truth known'
            rows.append(beside([_captioned(left, title), _captioned(right, 'prediction')]))
    if 'pred_region_captions' in sample:
        described = only(sample, 'pred_region_captions', 'region_prompts', 'pred_phrases')
        rows.append(visualizer.draw(image, described, draw_gt=False))
    picture = below(rows) if rows else _plain_picture(visualizer, image)
    return add_text_strip(picture, predicted_texts(sample), _font_size(picture))


def training_picture(visualizer: XDetLocalVisualizer, image: np.ndarray, sample: XDetDataSample) -> np.ndarray:
    """A panel for every kind of annotation, and below it the texts.

    Args:
        visualizer (XDetLocalVisualizer): Draws.
        image (np.ndarray): RGB uint8 ``[H, W, 3]`` to which the annotations belong.
        sample (XDetDataSample): From a training or a test pipeline.
    """
    panels = []
    sample = sample.clone()
    expand_masks(sample)
    if 'gt_segments' in sample:
        drawn = XDetDataSample(metainfo=sample.metainfo)
        segments = dict(sample.gt_segments.items())
        if 'boxes' in segments:
            segments['bboxes'] = segments.pop('boxes')
        drawn.gt_instances = InstanceData(**segments)
        panels.append(_captioned(visualizer.draw(image, drawn), 'segments'))
        if 'keypoints' in segments:
            drawn = XDetDataSample(metainfo=sample.metainfo)
            drawn.gt_poses = sample.gt_segments[sample.gt_segments.posed == 1]
            panels.append(_captioned(visualizer.draw(image, drawn), 'poses'))
    for field, title in (
        ('gt_panoptic_seg', 'segments'),
        ('gt_sem_seg', 'classes'),
        ('gt_phrases', 'phrases'),
        ('gt_poses', 'poses'),
        ('gt_depth', 'depth'),
    ):
        if field in sample and not (field == 'gt_sem_seg' and panels):
            panels.append(_captioned(visualizer.draw(image, only(sample, field)), title))
    if 'gt_regions' in sample:
        drawn = XDetDataSample(metainfo=sample.metainfo)
        drawn.gt_phrases = sample.gt_regions
        panels.append(_captioned(visualizer.draw(image, drawn), 'regions'))
    picture = beside(panels) if panels else _plain_picture(visualizer, image)
    return add_text_strip(picture, true_texts(sample), _font_size(picture))


def only(sample: XDetDataSample, *fields: str) -> XDetDataSample:
    """A sample with the same meta information and of the other fields only those named."""
    part = XDetDataSample(metainfo=sample.metainfo)
    for field in fields:
        if field in sample:
            setattr(part, field, sample.get(field))
    return part


def true_texts(sample: XDetDataSample) -> list[TextLine]:
    """Texts that come with a picture, a heading before each kind."""
    meta, lines = sample.metainfo, []
    captions = [meta['caption']] if meta.get('caption') else list(meta.get('captions') or ())
    lines += _listed('caption', captions) + _listed('nouns', [', '.join(meta['nouns'])] if meta.get('nouns') else [])
    for field, title in (('gt_phrases', 'phrases'), ('gt_regions', 'regions')):
        if field in sample and 'texts' in sample.get(field):
            lines += _listed(title, list(sample.get(field).texts))
    answers = _per_question(meta)
    lines += _listed('questions', [f'{question}  →  {_accepted(truth)}' for question, truth in answers])
    return lines


def predicted_texts(sample: XDetDataSample) -> list[TextLine]:
    """What was said about a picture, each with what is true where that is known."""
    meta, lines = sample.metainfo, []
    if 'pred_captions' in sample:
        lines += _listed('caption', [caption['text'] for caption in sample.pred_captions[:1]])
        lines += [TextLine(f'true: {text}') for text in meta.get('captions') or ()]
    if 'pred_region_captions' in sample:
        known = [_either(texts) for texts in meta.get('region_captions') or ()]
        lines += _listed('true descriptions of the regions', known)
    if 'pred_answers' in sample:
        lines.append(TextLine('questions', bold=True))
        truths = dict(_per_question(meta))
        for question, answers in zip(meta.get('questions') or (), sample.pred_answers, strict=True):
            said = f'{answers[0]["answer"]} ({answers[0]["score"]:.2f})' if answers else '-'
            lines.append(TextLine(f'{question}  →  {said}    true: {_accepted(truths.get(question))}'))
    if 'pred_classes' in sample:
        names = meta['vocabulary'].names
        found = zip(sample.pred_classes.labels.tolist(), sample.pred_classes.scores.tolist(), strict=True)
        lines += _listed('class', [f'{score:.2f} {names[label]}' for label, score in found])
    return lines


def facts(sample: XDetDataSample) -> dict[str, Any]:
    """What a sample says in words, for JSON."""
    meta = sample.metainfo
    keys = ('img_path', 'img_id', 'caption', 'captions', 'nouns', 'phrases', 'questions', 'answers')
    described = {key: _plain(meta[key]) for key in keys if key in meta}
    for field in ('gt_phrases', 'gt_regions'):
        if field in sample and 'texts' in sample.get(field):
            described[field] = list(sample.get(field).texts)
    for field in ('pred_captions', 'pred_region_captions', 'pred_answers'):
        if field in sample:
            described[field] = sample.get(field)
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _per_question(meta: dict) -> list[tuple[str, Any]]:
    questions, answers = meta.get('questions'), meta.get('answers')
    if questions is None and meta.get('question'):
        return [(meta['question'], answers)]
    answers = answers if answers is not None else [None] * len(questions or ())
    return list(zip(questions or (), answers, strict=True))


def _accepted(truth: Any) -> str:
    """Accepted answers, the best ones first, with how right each is unless it is wholly right."""
    if not truth:
        return '?'
    ranked = sorted(truth.items(), key=lambda item: -item[1])
    return ', '.join(answer if share >= 1 else f'{answer} ({share:.2g})' for answer, share in ranked)


def _either(texts: str | Sequence[str]) -> str:
    return texts if isinstance(texts, str) else ' / '.join(texts)


def _listed(title: str, texts: Sequence[str]) -> list[TextLine]:
    return [TextLine(title, bold=True), *(TextLine(text) for text in texts)] if texts else []


def _font_size(picture: np.ndarray) -> int:
    return max(13, round(0.012 * picture.shape[1]))


def _plain_picture(visualizer: XDetLocalVisualizer, image: np.ndarray) -> np.ndarray:
    """A picture on which nothing is drawn, as large as the others."""
    return enlarge(image, enlarge_factor(*image.shape[:2], visualizer.min_size), smooth=True)


def _captioned(panel: np.ndarray, title: str) -> np.ndarray:
    return add_text_strip(panel, [TextLine(title, bold=True)], 13)
