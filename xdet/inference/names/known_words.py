"""Knowing what it knows: finds prompts that are far from what a model was trained with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xdet.structures import KnownWords, TextPrompts
from xdet.structures.known_words import Kind, words_of
from xdet.structures.vocabulary import same_text

if TYPE_CHECKING:  # exported models run without torch
    from torch import Tensor

    from xdet.models.text import CausalTextEncoder

Floats = NDArray[np.float32]

NEIGHBOURS, TEMPERATURE = 150, 0.1
"""How many names vote on another one, and how much the nearest of them count more; see :func:`familiarity`."""

_TEXTS_PER_PASS = 256
_REMEMBERED = 20_000  # prompts

GRAMMAR = frozenset(
    'a an the this that these those it its they them their he she his her him you your i we our me my who whom whose '
    'which what where when why how is are was were be been being am do does did have has had can could will would may '
    'there here and or but nor not no yes of as than so if then while else'.split()
)
"""Words that are never far."""

ORDINARY = GRAMMAR.union(
    # places
    'in on at to from by with without into onto over under above below behind between beside besides near next across '
    'along around through inside outside off up down out for about against among toward towards left right top bottom '
    'middle center centre front back side corner edge background foreground far close closest nearest furthest '
    'farthest away same other another any some all both each every either neither many much more most '
    'few fewer less least only just also very too such '
    # numbers and amounts
    'zero one two three four five six seven eight nine ten dozen several couple pair group first second third last '
    'number count half part piece kind type sort '
    # looks
    'small smaller smallest big bigger biggest large larger largest tiny huge little tall taller tallest short shorter '
    'shortest long longer longest wide narrow thin thick old older young younger new high higher low lower light dark '
    'bright red orange yellow green blue purple pink brown black white gray grey golden silver colour color colours '
    'colors coloured colored striped plain whole full empty open closed good bad nice pretty beautiful cute fast slow '
    # images, and what is done in them
    'image images picture pictures photo photos photograph photographs scene view camera see seen look looks stand '
    'stands sit sits lie lies lay run runs walk walks hold holds wear wears ride rides play plays eat eats show shows '
    'find name describe visible '.split()
)
"""Words of every text, which say little about what a model knows; not told apart where there is no threshold."""


class WordCheck:
    """Says which prompts are far from the training vocabulary of a model.

    A prompt of words that training had, and a name that counts as known, is never far, and costs nothing; a name of
    what was not trained always is. Any other class name is far if its familiarity (:func:`familiarity`) is below the
    threshold that was measured for the model. Of phrases, questions and texts this is asked of every group of content
    words, then of each word of it. Without a threshold every word that training never had is far.

    Args:
        known (KnownWords): Training vocabulary of the model.
        text_encoder (CausalTextEncoder, optional): Its text encoder.
    """

    def __init__(self, known: KnownWords, text_encoder: CausalTextEncoder | None) -> None:
        self.known = known
        self.text_encoder = text_encoder
        self._learned: set[str] = set()
        self._others = frozenset(map(same_text, known.others))
        self._places: tuple[Floats, Floats] | None = None
        self._found: dict[tuple[str, Kind], tuple[str, ...]] = {}

    def learn(self, names: Sequence[str]) -> None:
        """Count class names as known, because they were learned from images."""
        self._learned |= set(map(same_text, names))

    def of_prompts(self, prompts: TextPrompts) -> dict[str, tuple[str, ...]]:
        """Prompts of an image that are far, each with the words that make it so."""
        far: dict[str, tuple[str, ...]] = {}
        if (vocabulary := prompts.vocabulary) is not None:
            words = self.far_words([text for texts in vocabulary.texts for text in texts], 'names')
            for name, texts in zip(vocabulary.names, vocabulary.texts, strict=True):
                # A class is known if one of its texts is.
                if same_text(name) not in self._learned and all(text in words for text in texts):
                    far[name] = words[texts[0]]
        sentences = [*prompts.questions, *prompts.texts]
        return far | self.far_words(prompts.phrases, 'phrases') | self.far_words(sentences, 'texts')

    def far_words(self, prompts: Sequence[str], kind: Kind) -> dict[str, tuple[str, ...]]:
        """Those prompts that are far, each with the words that training never had and that are far themselves."""
        new = [text for text in dict.fromkeys(prompts) if (text, kind) not in self._found]
        if len(self._found) + len(new) > _REMEMBERED:
            self._found.clear()
            new = list(dict.fromkeys(prompts))
        self._found |= {(text, kind): words for text, words in self._compare(new, kind).items()}
        return {text: words for text in prompts if (words := self._found[text, kind])}

    def familiarity(self, names: Sequence[str]) -> Floats:
        """See :func:`familiarity`, ``[n]``."""
        rows = self._embed(names)
        return familiarity(*(rows @ place.T for place in self._compared()))

    def dictionary(self) -> tuple[tuple[str, ...], Floats]:
        """All names that the model was trained with or that are listed beside them, ``n`` unit vectors ``[n, C]``."""
        return (*self.known.names, *self.known.also, *self.known.others), np.concatenate(self._compared())

    def _compared(self) -> tuple[Floats, Floats]:
        """Embeddings of names that are known, and of others."""
        if self._places is None:
            self._places = self._embed((*self.known.names, *self.known.also)), self._embed(self.known.others)
        return self._places

    def _embed(self, names: Sequence[str]) -> Floats:
        """Unit vectors ``[n, C]``; exported models have another way to them."""
        assert self.text_encoder is not None
        return np.asarray(embed(self.text_encoder, names))

    def _compare(self, prompts: Sequence[str], kind: Kind) -> dict[str, tuple[str, ...]]:
        """Far words of every prompt, perhaps none."""
        found = {
            text: tuple(word for word in self.known.unfamiliar(text, kind) if word not in GRAMMAR) for text in prompts
        }
        doubtful = [text for text in prompts if found[text]]
        if not doubtful or self.known.threshold is None:
            return found
        if kind == 'names':
            near = self._are_near(doubtful, self.known.threshold)
            return found | {text: () for text, is_near in zip(doubtful, near, strict=True) if is_near}
        return found | {text: self._of_sentence(text, found[text], self.known.threshold) for text in doubtful}

    def _of_sentence(self, text: str, words: tuple[str, ...], threshold: float) -> tuple[str, ...]:
        far: list[str] = []
        for group in _content(text):
            new = [word for word in group if word in words]
            if new and not self._are_near([' '.join(group)], threshold)[0]:
                far += [word for word, near in zip(new, self._are_near(new, threshold), strict=True) if not near]
        return tuple(dict.fromkeys(far))

    def _are_near(self, names: Sequence[str], threshold: float) -> list[bool]:
        """Whether names are near to what is known."""
        doubtful = [name for name in names if same_text(name) not in self._others]
        near = dict(zip(doubtful, (self.familiarity(doubtful) >= threshold).tolist(), strict=True)) if doubtful else {}
        return [near.get(name, False) for name in names]


def familiarity(known: Floats, others: Floats) -> Floats:
    """Share of the nearest names that are known, the nearer ones counting more.

    Args:
        known (np.ndarray): Cosines ``[n, k]`` of names with those that are known.
        others (np.ndarray): Cosines ``[n, m]`` with names of what was not trained.

    Returns:
        np.ndarray: ``[n]``, from 0 to 1.
    """
    nearest = np.concatenate([known, others], axis=1)
    places = np.argsort(-nearest, axis=1, kind='stable')[:, :NEIGHBOURS]
    values = np.take_along_axis(nearest, places, axis=1)
    weights = np.exp((values - values.max(axis=1, keepdims=True)) / TEMPERATURE)
    shares: Floats = (weights * (places < known.shape[1])).sum(axis=1) / weights.sum(axis=1)
    return shares


def embed(text_encoder: CausalTextEncoder, names: Sequence[str]) -> Tensor:
    """Unit vectors ``[n, C]`` of names as they are, on the CPU."""
    import torch

    from xdet.models.similarity import normalize

    starts = range(0, len(names), _TEXTS_PER_PASS)
    with torch.inference_mode(False), torch.no_grad():
        parts = [text_encoder(names[start : start + _TEXTS_PER_PASS]).pooled.float().cpu() for start in starts]
        return normalize(torch.cat(parts)) if parts else torch.zeros(0, text_encoder.embed_dims)


def _content(text: str) -> Iterator[list[str]]:
    """Groups of words that are not ordinary and stand side by side."""
    for ordinary, group in groupby(words_of([text]), _is_ordinary):
        if not ordinary:
            yield list(group)


def _is_ordinary(word: str) -> bool:
    return word in ORDINARY or (len(word) > 5 and word.endswith(('ing', 'ed')))
