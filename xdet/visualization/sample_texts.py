"""What samples say in words: regions with their names, and paragraphs for the strip below the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.structures import InstanceData

from xdet.structures import XDetDataSample

from .text_strip import TextLine


def phrase_regions(sample: XDetDataSample) -> tuple[InstanceData, list[str]]:
    """Masks found for phrases, ``labels`` being rows of the returned names; phrases without a mask are left out."""
    found = sample.pred_phrases
    return _named(found.masks, found.scores), list(sample.metainfo.get('phrases') or _numbers(found.masks))


def true_phrase_regions(sample: XDetDataSample) -> tuple[InstanceData, list[str]]:
    """Annotated masks of phrases, likewise."""
    return _named(sample.gt_phrases.masks), list(sample.gt_phrases.texts)


def captioned_regions(sample: XDetDataSample) -> tuple[InstanceData, list[str]]:
    """Described regions, named by their number and the beginning of their caption."""
    masks = (sample.region_prompts if 'region_prompts' in sample else sample.pred_phrases).masks
    texts = [captions[0]['text'] if captions else '' for captions in sample.pred_region_captions]
    return _named(masks), [f'{number} {_beginning(text)}' for number, text in enumerate(texts, start=1)]


def paragraphs(sample: XDetDataSample, score_thr: float) -> list[TextLine]:
    """Everything the predictions of a sample say in words."""
    return [line for field, describe in _PARAGRAPHS.items() if field in sample for line in describe(sample, score_thr)]


def _missing_phrases(sample: XDetDataSample, score_thr: float) -> list[TextLine]:
    if _about_phrases(sample):  # lists all phrases anyway
        return []
    found, names = phrase_regions(sample)
    seen = set(found.labels[found.scores >= score_thr].tolist())
    return [TextLine(f'not found: {name}') for index, name in enumerate(names) if index not in seen]


def _captions(sample: XDetDataSample, score_thr: float) -> list[TextLine]:
    return [TextLine(caption['text']) for caption in sample.pred_captions]


def _region_captions(sample: XDetDataSample, score_thr: float) -> list[TextLine]:
    lines = []
    phrases = sample.metainfo.get('phrases') if _about_phrases(sample) else ()
    for number, captions in enumerate(sample.pred_region_captions, start=1):
        if phrases:
            lines.append(TextLine(f'{number} {phrases[number - 1]}', bold=True))
        lines += [TextLine(caption['text'] if phrases else f'{number} {caption["text"]}') for caption in captions]
    return lines


def _about_phrases(sample: XDetDataSample) -> bool:
    """Whether captions of regions are about what phrases refer to, and not about regions that were given."""
    return 'pred_region_captions' in sample and 'region_prompts' not in sample


def _answers(sample: XDetDataSample, score_thr: float) -> list[TextLine]:
    lines = []
    questions = sample.metainfo.get('questions') or _numbers(sample.pred_answers)
    for question, answers in zip(questions, sample.pred_answers, strict=True):
        lines.append(TextLine(question, bold=True))
        lines += [_scored(answer['answer'], answer['score']) for answer in answers]
    return lines


def _classes(sample: XDetDataSample, score_thr: float) -> list[TextLine]:
    found, vocabulary = sample.pred_classes, sample.metainfo.get('vocabulary')
    rows = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    return [_scored(vocabulary.names[label] if vocabulary else f'class {label}', score) for label, score in rows]


def _similarities(sample: XDetDataSample, score_thr: float) -> list[TextLine]:
    rows = zip(sample.captions, sample.pred_text_scores.tolist(), strict=True)
    return [TextLine(f'{score:+.3f} {text}', share=score) for text, score in sorted(rows, key=lambda row: -row[1])]


def _beginning(text: str, letters: int = 24) -> str:
    """A label that does not hide its region; the whole text stands below the picture."""
    return text if len(text) <= letters else text[: letters - 1] + '…'


_PARAGRAPHS: dict[str, Callable[[XDetDataSample, float], list[TextLine]]] = dict(
    pred_phrases=_missing_phrases,
    pred_captions=_captions,
    pred_region_captions=_region_captions,
    pred_answers=_answers,
    pred_classes=_classes,
    pred_text_scores=_similarities,
)


def _scored(text: str, score: float) -> TextLine:
    return TextLine(f'{score:.2f} {text}', share=score)


def _named(masks: Any, scores: Any = None) -> InstanceData:
    """Instances of the masks that are not empty; their labels are their rows."""
    masks = torch.as_tensor(masks)
    kept = masks.flatten(1).any(dim=1) if len(masks) else torch.zeros(0, dtype=torch.bool)
    instances = InstanceData(masks=masks, labels=torch.arange(len(masks)))
    if scores is not None:
        instances.scores = scores
    return instances[kept]


def _numbers(items: Any) -> list[str]:
    return [str(number) for number in range(1, len(items) + 1)]
