"""From captions, answers, classes and scores of texts to plain data."""

from __future__ import annotations

from typing import Any

from xdet.structures import XDetDataSample

from .segment_results import mask_results


def caption_results(sample: XDetDataSample) -> dict[str, Any]:
    """Captions, best first; ``score`` is the mean log-probability per token."""
    return dict(captions=list(sample.pred_captions))


def region_results(sample: XDetDataSample) -> dict[str, Any]:
    """Regions in the order of their prompts, with the captions of each."""
    prompted = 'region_prompts' in sample
    masks = (sample.region_prompts if prompted else sample.pred_phrases).masks.numpy()
    regions: list[dict[str, Any]] = [{} for _ in masks]
    if not prompted:
        found = sample.pred_phrases
        for region, phrase, score in zip(regions, sample.phrases, found.scores.tolist(), strict=True):
            region.update(phrase=phrase, score=score)
    for region, captions, mask in zip(regions, sample.pred_region_captions, masks, strict=True):
        region.update(captions=list(captions), **mask_results(mask))
    return dict(regions=regions)


def answer_results(sample: XDetDataSample) -> dict[str, Any]:
    """Questions in order, each with its most probable answers, best first."""
    rows = zip(sample.questions, sample.pred_answers, strict=True)
    return dict(answers=[dict(question=question, answers=list(answers)) for question, answers in rows])


def class_results(sample: XDetDataSample) -> dict[str, Any]:
    """The most probable classes, best first."""
    found = sample.pred_classes
    rows = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
    names = sample.vocabulary.names
    return dict(top_classes=[dict(label=label, name=names[label], score=score) for label, score in rows])


def similarity_results(sample: XDetDataSample) -> dict[str, Any]:
    """Score of every text, in order: a weighted mean of two cosines, from -1 to 1."""
    if 'pred_text_scores' not in sample:
        return dict(texts=[])
    rows = zip(sample.captions, sample.pred_text_scores.tolist(), strict=True)
    return dict(texts=[dict(text=text, score=score) for text, score in rows])


def summarize_captions(prediction: dict[str, Any], score_thr: float) -> list[str]:
    """The captions, the best without its score because there is nothing to compare it with."""
    return _captions(prediction['captions'])


def summarize_regions(prediction: dict[str, Any], score_thr: float) -> list[str]:
    """Captions of every region, under its phrase or its box."""
    lines = []
    for number, region in enumerate(prediction['regions'], start=1):
        place = region.get('phrase') or 'at x {} y {}, {} x {} pixels'.format(*region['bbox'])
        lines += [f'{number}  {place}', *(f'   {text}' for text in _captions(region['captions']))]
    return lines


def summarize_answers(prediction: dict[str, Any], score_thr: float) -> list[str]:
    """Every question with its answers."""
    lines = []
    for entry in prediction['answers']:
        lines += [entry['question'], *(f'  {row["score"]:.2f}  {row["answer"]}' for row in entry['answers'])]
    return lines


def summarize_classes(prediction: dict[str, Any], score_thr: float) -> list[str]:
    """The classes with their probabilities."""
    return [f'{row["score"]:.2f}  {row["name"]}' for row in prediction['top_classes']]


def summarize_similarities(prediction: dict[str, Any], score_thr: float) -> list[str]:
    """The texts, most similar first."""
    rows = sorted(prediction['texts'], key=lambda row: -row['score'])
    return [f'{row["score"]:+.3f}  {row["text"]}' for row in rows]


def _captions(captions: list[dict[str, Any]]) -> list[str]:
    if len(captions) == 1:
        return [captions[0]['text'] or '(empty caption)']
    return [f'{caption["score"]:+.2f}  {caption["text"] or "(empty caption)"}' for caption in captions]
