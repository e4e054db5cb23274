"""What samples say in words: regions with their names, and paragraphs for the strip below the picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.structures import InstanceData

from xdet.structures import FORMATS, TextLine, XDetDataSample, described_masks, phrase_names
from xdet.structures.known_words import FAR_MARK, far_line


def phrase_regions(sample: XDetDataSample) -> tuple[InstanceData, list[str]]:
    """Masks found for phrases, ``labels`` being rows of the returned names; phrases without a mask are left out."""
    found = sample.pred_phrases
    return _named(found.masks, found.scores), marked_names(sample, phrase_names(sample))


def true_phrase_regions(sample: XDetDataSample) -> tuple[InstanceData, list[str]]:
    """Annotated masks of phrases, likewise."""
    return _named(sample.gt_phrases.masks), list(sample.gt_phrases.texts)


def captioned_regions(sample: XDetDataSample) -> tuple[InstanceData, list[str]]:
    """Described regions, named by their number and the beginning of their caption."""
    texts = [captions[0]['text'] if captions else '' for captions in sample.pred_region_captions]
    names = [f'{number} {_beginning(text)}' for number, text in enumerate(texts, start=1)]
    return _named(described_masks(sample)), names


def shown_objects(sample: XDetDataSample) -> tuple[InstanceData, list[str]]:
    """The best answer for each object that was shown, named by its number."""
    found = sample.pred_objects
    objects = found.objects.tolist()
    best = found[[objects.index(number) for number in dict.fromkeys(objects)]]
    return _named(best.masks, best.scores), [f'object {number + 1}' for number in dict.fromkeys(objects)]


def paragraphs(sample: XDetDataSample, score_thr: float) -> list[TextLine]:
    """Everything the predictions of a sample say in words."""
    lines = [line for form in FORMATS.values() if form.field in sample for line in form.lines(sample, score_thr)]
    return [*lines, TextLine(far_line(sample.prompts.far))] if sample.prompts.far else lines


def marked_names(sample: XDetDataSample, names: Iterable[str]) -> list[str]:
    """Names, with a mark behind those that are far from what the model was trained with."""
    return [f'{name}{FAR_MARK}' if name in sample.prompts.far else name for name in names]


def _beginning(text: str, letters: int = 24) -> str:
    """A label that does not hide its region; the whole text stands below the picture."""
    return text if len(text) <= letters else text[: letters - 1] + '…'


def _named(masks: Any, scores: Any = None) -> InstanceData:
    """Instances of the masks that are not empty; their labels are their rows."""
    masks = torch.as_tensor(masks)
    kept = masks.flatten(1).any(dim=1) if len(masks) else torch.zeros(0, dtype=torch.bool)
    instances = InstanceData(masks=masks, labels=torch.arange(len(masks)))
    if scores is not None:
        instances.scores = scores
    return instances[kept]
