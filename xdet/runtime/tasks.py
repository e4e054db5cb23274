"""What the tasks do with the graphs of an exported model: prompts of one image to plain results and maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.structures import TextPrompts, Vocabulary
from xdet.structures.generation import GenerationSettings

from . import results
from .encoded import LEVELS, EncodedImage
from .generation import generate
from .masks import mask_results
from .model import ExportedModel
from .regions import region_pixels, resize_regions
from .results import BACKGROUND, IGNORE
from .texts import Texts, padded

Array = NDArray[Any]
Found = tuple[dict[str, Any], dict[str, Array]]
_SCORE_BYTES = 2**28
"""Class scores of pixels are computed in parts of at most about this many bytes."""


class Tasks:
    """The tasks of one exported model.

    Args:
        model (ExportedModel): The graphs.
        texts (Texts): Its embedded texts.
    """

    def __init__(self, model: ExportedModel, texts: Texts) -> None:
        self._model, self._facts, self._texts = model, model.facts, texts

    def __call__(
        self, task: str, image: EncodedImage, asked: TextPrompts, selection: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """What becomes part of the prediction of an image, and images to write by suffix.

        Args:
            task (str): One of those of the model.
            image (EncodedImage): The image.
            asked (TextPrompts): What is asked of it; regions are bool ``[n, H, W]``.
            selection (Mapping[str, Any]): Which instances count.
        """
        run: Callable[..., Found] = getattr(self, f'_{task}')
        return run(image, asked, selection) if task == 'instance' else run(image, asked)

    def settings(self, changes: Mapping[str, Any]) -> GenerationSettings:
        """How captions are written.

        Raises:
            ValueError: Longer than the model can.
        """
        facts = self._facts['captions']
        settings = GenerationSettings().override(facts['generation']).override(changes)
        if settings.max_tokens >= facts['positions']:
            longest = facts['positions'] - 1
            raise ValueError(f'max_tokens is {settings.max_tokens}; this model writes up to {longest} tokens')
        return settings

    def _semantic(self, image: EncodedImage, asked: TextPrompts) -> Found:
        names = _Named(self, image, asked)
        height, width = image.size
        given = asked.thresholds.score
        background = (
            self._facts['segments']['background_score'] if given is None or isinstance(given, Mapping) else None
        )
        labels: Array = np.empty((height, width), dtype=np.int64)
        pixels = max(1, _SCORE_BYTES // (4 * max(len(names.everything), len(names.inputs['mask_embed']))))
        columns = min(width, pixels)
        rows = max(1, min(height, pixels // columns))
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                part = np.s_[top : top + rows, left : left + columns]
                sizes = dict(rows=image.resizing['rows'][part[0]], columns=image.resizing['columns'][part[1]])
                found, scores, *surest = self._model.run('semantic', **names.inputs, **sizes)
                there = names.reported[found] & (scores >= names.least(0.0)[found])
                found = np.where(there, found, IGNORE)
                if background is not None:
                    found = np.where(surest[0] > background, found, BACKGROUND)
                labels[part] = found
        segments = results.semantic(labels, names.vocabulary)
        return names.result(segments), dict(semantic=results.label_map(labels, names.vocabulary))

    def _instance(self, image: EncodedImage, asked: TextPrompts, selection: Mapping[str, Any]) -> Found:
        names = _Named(self, image, asked)
        logit = np.array(asked.thresholds.mask_logit, dtype=np.float32)
        inputs = dict(names.inputs, **names.flags, mask_logit=logit, **image.resizing)
        labels, scores, queries, masks = self._model.run('instance', **inputs)
        rows = scores >= names.least(0.0)[labels]
        found = results.instance(labels[rows], scores[rows], queries[rows], masks, names.vocabulary, selection)
        return names.result(found), {}

    def _panoptic(self, image: EncodedImage, asked: TextPrompts) -> Found:
        names, limits, own = _Named(self, image, asked), asked.thresholds, self._facts['segments']
        inputs = dict(
            **names.inputs,
            **names.flags,
            least=names.least(own['least']),
            overlap=np.array(own['overlap'] if limits.overlap is None else limits.overlap, dtype=np.float64),
            mask=np.array(0.5 if limits.mask is None else limits.mask, dtype=np.float32),
            **image.resizing,
        )
        ids, labels, scores = self._model.run('panoptic', **inputs)
        found = results.panoptic(ids, labels, scores, names.vocabulary)
        return names.result(found), dict(panoptic=results.id_map(ids))

    def _find(self, image: EncodedImage, asked: TextPrompts) -> tuple[Array, Array, Array]:
        """Masks, scores and similarities of phrases."""
        facts, limits, encoded = self._facts['phrases'], asked.thresholds, self._texts.whole(asked.phrases)
        sets = [encoded] if facts['mode'] == 'joint' else [[text] for text in encoded]
        fixed = {**image.features, **image.resizing, 'mask_logit': np.array(limits.mask_logit, dtype=np.float32)}
        found = []
        for start in range(0, len(sets), facts['per_pass']):
            part = sets[start : start + facts['per_pass']]
            rows = [np.concatenate([text.tokens for text in own]) for own in part]
            tokens, valid = padded(rows)
            pooled = np.stack([np.stack([text.pooled for text in own]) for own in part])
            made = self._model.run('phrases', **fixed, phrase_tokens=tokens, valid=valid, phrase_features=pooled)
            found.append([result.reshape(-1, *result.shape[2:]) for result in made])
        masks, scores, similarities = (np.concatenate(column) for column in zip(*found, strict=True))
        there = scores >= np.array(limits.scores(asked.phrases, 0.0), dtype=np.float32)
        if limits.presence is not None:
            there &= results.phrase_presence(similarities) > limits.presence
        return masks & there[:, None, None], scores, similarities

    def _refseg(self, image: EncodedImage, asked: TextPrompts) -> Found:
        return results.phrases(asked.phrases, *self._find(image, asked)), {}

    def _write(self, image: EncodedImage, settings: GenerationSettings, region: Array | None) -> list[dict[str, Any]]:
        """Captions of the image or of a region, bool ``[H, W]`` in its size."""
        writer = _CaptionWriter(self._model, image, settings.rows, region)
        texts = []
        for found in generate(writer, settings):
            text = self._texts.tokenizer.decode(found.ids)
            text = text.split('.')[0].strip() if self._facts['captions']['first_sentence'] else text
            texts.append(dict(text=text, score=found.score))
        return texts

    def _caption(self, image: EncodedImage, asked: TextPrompts) -> Found:
        return dict(captions=self._write(image, self.settings(asked.generation), None)), {}

    def _refcaption(self, image: EncodedImage, asked: TextPrompts) -> Found:
        settings = self.settings(asked.generation)
        known: list[dict[str, Any]] = []
        if asked.regions is not None:
            masks: Any = asked.regions
            known = [{} for _ in masks]
        else:
            masks, scores, _ = self._find(image, asked)
            pairs = zip(asked.phrases, scores.tolist(), strict=True)
            known = [dict(phrase=phrase, score=score) for phrase, score in pairs]
        regions = [
            {**names, 'captions': self._write(image, settings, mask), **mask_results(mask)}
            for names, mask in zip(known, masks, strict=True)
        ]
        return dict(regions=regions), {}

    def _vqa(self, image: EncodedImage, asked: TextPrompts) -> Found:
        facts, encoded = self._facts['answers'], self._texts.whole(asked.questions)
        tokens, _ = padded([text.tokens for text in encoded])
        ends = np.array([len(text.tokens) - 1 for text in encoded])
        keys = dict(latent_keys=image.latents['latent_keys'], **image.image_keys)
        (probabilities,) = self._model.run('answers', question_tokens=tokens, ends=ends, **keys)
        answers = [
            dict(
                question=question,
                answers=[
                    dict(answer=name, score=score)
                    for _, name, score in results.best(row, facts['names'], facts['top_k'])
                ],
            )
            for question, row in zip(asked.questions, probabilities, strict=True)
        ]
        return dict(answers=answers), {}

    def _retrieval(self, image: EncodedImage, asked: TextPrompts) -> Found:
        encoded = self._texts.whole(asked.texts or ('',))
        embedding, _, scores = self._model.run(
            'retrieval',
            class_embed=image.latents['class_embed'],
            image_mean=image.results['image_mean'],
            pooled=np.stack([text.pooled for text in encoded]),
        )
        scored = zip(asked.texts, scores.tolist()[: len(asked.texts)], strict=True)
        return dict(texts=[dict(text=text, score=score) for text, score in scored], embedding=embedding.tolist()), {}

    def _classification(self, image: EncodedImage, asked: TextPrompts) -> Found:
        assert asked.vocabulary is not None
        text = self._texts.vocabulary(asked.vocabulary)
        (probabilities,) = self._model.run('classification', class_embed=image.latents['class_embed'], text=text)
        rows = results.best(probabilities, asked.vocabulary.names, self._facts['top_k'])
        return dict(top_classes=[dict(label=label, name=name, score=score) for label, name, score in rows]), {}


class _Named:
    """The queries of an image, compared with class names and with those of the background, which come last.

    Attributes:
        vocabulary (Vocabulary): Names that are asked for.
        everything (Vocabulary): These and the background.
        inputs (dict[str, Array]): Of all graphs that segment.
        presence (Array): Highest probability of every name that is asked for.
        reported (Array): Bool, which of all names may be reported; the others only compete.
    """

    def __init__(self, tasks: Tasks, image: EncodedImage, asked: TextPrompts) -> None:
        assert asked.vocabulary is not None
        self.vocabulary, self._asked = asked.vocabulary, asked
        self.everything: Vocabulary = asked.vocabulary.with_background(asked.background)
        text, latents = tasks._texts.vocabulary(self.everything), image.latents
        [probabilities] = tasks._model.named('names', dict(latents, text=text)).values()
        self.inputs = dict(
            probabilities=probabilities,
            mask_embed=latents['mask_embed'],
            mask_features=image.results['mask_features'],
        )
        self.presence = probabilities[:, : len(self.vocabulary)].max(axis=0)
        limit = asked.thresholds.presence
        there = self.presence > (-1.0 if limit is None else limit)
        self.reported = np.concatenate([there, np.zeros(len(asked.background), dtype=bool)])

    @property
    def flags(self) -> dict[str, Array]:
        """Inputs of the graphs whose segments are things or stuff."""
        return dict(is_thing=np.array(self.everything.is_thing), reported=self.reported)

    def least(self, default: float) -> NDArray[np.float32]:
        """Least score of all names; the background keeps the rule of the task."""
        scores = self._asked.thresholds.scores(self.vocabulary.names, default)
        return np.array([*scores, *[default] * len(self._asked.background)], dtype=np.float32)

    def result(self, segments: dict[str, Any]) -> dict[str, Any]:
        """Segments, with what is said about names that are not there."""
        presence, limit = self.presence.tolist(), self._asked.thresholds.presence
        if limit is None:
            return dict(segments, presence=presence)
        pairs = zip(self.vocabulary.names, presence, strict=True)
        return dict(segments, presence=presence, absent=[name for name, value in pairs if value <= limit])


class _CaptionWriter:
    """Next-token logits of captions of one image or region."""

    def __init__(self, model: ExportedModel, image: EncodedImage, rows: int, region: Array | None) -> None:
        facts = model.facts['captions']
        self._model = model
        self._fixed = dict(latent_keys=image.latents['latent_keys'], **image.image_keys)
        sizes: Sequence[tuple[int, ...]] = [image.results[f'memory_{stride}'].shape[2:] for stride in LEVELS]
        for stride, size in zip(LEVELS, sizes, strict=True):
            name = f'visible_{stride}'
            if name not in model.inputs('caption_step'):
                continue
            seen: Array = np.ones((1, size[0] * size[1]), dtype=bool)
            if region is not None:
                whole = np.zeros([LEVELS[0] * side for side in sizes[0]], dtype=bool)
                whole[: image.seen[0], : image.seen[1]] = resize_regions(region, image.seen)
                seen = region_pixels(whole, size)[None]
            self._fixed[name] = seen.repeat(rows, axis=0)
        layers, heads, width = facts['text_keys']
        self._text_past = np.zeros((layers, 2, rows, heads, 0, width), dtype=np.float32)
        layers, heads, width = facts['keys']
        self._past = np.zeros((layers, 2, rows, heads, 0, width), dtype=np.float32)

    def step(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        logits, self._text_past, self._past = self._model.run(
            'caption_step', next_ids=ids[:, None], text_past=self._text_past, past=self._past, **self._fixed
        )
        return logits

    def reorder(self, rows: NDArray[np.int64]) -> None:
        self._text_past, self._past = self._text_past[:, :, rows], self._past[:, :, rows]
