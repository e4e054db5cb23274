"""What a model was trained with, in words: its training vocabulary, which travels with its weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from xdet.io.reading import listed

from .vocabulary import same_text

if TYPE_CHECKING:  # exported models run without torch
    from .data_sample import XDetDataSample

Kind = Literal['names', 'phrases', 'texts']
"""What a prompt is: a class name, a phrase (both get masks), or a question or text about the whole image."""

KEY = 'known_words'
"""Name under which files of weights hold it: in a checkpoint's ``meta``, in the header of a safetensors file."""


@dataclass(frozen=True)
class KnownWords:
    """The training vocabulary of a model, and how to tell what is far from it.

    Attributes:
        names (tuple[str, ...]): Class names that it was trained to segment.
        phrase_words (frozenset[str]): Words of the phrases that it was trained to find, in lower case.
        text_words (frozenset[str]): Words of captions, descriptions of regions, questions and answers, likewise.
        also (tuple[str, ...]): Names that count as known, such as other words for the names.
        others (tuple[str, ...]): Names of what it was not trained with, to compare with.
        threshold (float | None): Which share of the names that are nearest to another one, in the text encoder, has to
            be of ``names`` and ``also`` instead of ``others``; see
            :func:`xdet.inference.names.known_words.familiarity`. None: not
            measured, so only the words themselves count.
    """

    names: tuple[str, ...] = ()
    phrase_words: frozenset[str] = frozenset()
    text_words: frozenset[str] = frozenset()
    also: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    threshold: float | None = None

    @classmethod
    def of_samples(cls, samples: Iterable[XDetDataSample]) -> KnownWords:
        """The words that training samples teach."""
        samples = list(samples)
        vocabularies = {s.vocabulary for s in samples if 'gt_segments' in s and 'vocabulary' in s}
        phrases = [text for s in samples if 'gt_phrases' in s for text in s.gt_phrases.texts]
        texts = [text for s in samples if 'gt_regions' in s for text in s.gt_regions.texts]
        for known in (sample.metainfo for sample in samples):
            texts += [known.get('caption') or '', *(known.get('questions') or ())]
            texts += [answer for answers in known.get('answers') or () for answer in answers]
        names = (text for vocabulary in vocabularies for of_class in vocabulary.texts for text in of_class)
        return cls(tuple(sorted(set(names))), frozenset(words_of(phrases)), frozenset(words_of(texts)))

    def __or__(self, other: KnownWords) -> KnownWords:
        """What was trained with either; what is compared with, and the threshold, are those of the first that has one.

        Names that were trained are not compared with any more.
        """
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        phrase_words, text_words = self.phrase_words | other.phrase_words, self.text_words | other.text_words
        measured = self if self.threshold is not None else other
        also = tuple(dict.fromkeys((*self.also, *other.also)))
        trained = {same_text(name) for name in (*names, *also)}
        others = tuple(name for name in measured.others if same_text(name) not in trained)
        return KnownWords(names, phrase_words, text_words, also, others, measured.threshold)

    def covers(self, other: KnownWords) -> bool:
        """Whether training with ``other`` adds nothing."""
        return (
            self._trained >= set(other.names)
            and self.phrase_words >= other.phrase_words
            and self.text_words >= other.text_words
        )

    def unmeasured(self) -> KnownWords:
        """Without what was measured in a text encoder: for weights that get another one."""
        return replace(self, others=(), threshold=None)

    def unfamiliar(self, text: str, kind: Kind) -> tuple[str, ...]:
        """Words of a text that training never said, each once and in lower case; none if it is a known name."""
        rest, _, last = same_text(text).rpartition(' ')
        if any(f'{rest} {form}'.strip() in self._accepted for form in singulars(last)):
            return ()
        heard = self._heard if kind == 'texts' else self._seen
        return tuple(word for word in dict.fromkeys(words_of([text])) if not heard & singulars(word))

    @cached_property
    def _trained(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def _accepted(self) -> frozenset[str]:
        return frozenset(same_text(name) for name in (*self.names, *self.also))

    @cached_property
    def _seen(self) -> frozenset[str]:
        """Words of what has masks, in singular and plural, and names of one word that count as known."""
        words = self.phrase_words | {*words_of(self.names)} | self._accepted
        return frozenset(form for word in words for form in singulars(word))

    @cached_property
    def _heard(self) -> frozenset[str]:
        """All words, likewise."""
        return self._seen | {form for word in self.text_words for form in singulars(word)}

    def to_plain(self) -> dict[str, Any]:
        """As plain data, in an order that does not change."""
        return {
            field.name: value if isinstance(value := getattr(self, field.name), (float, type(None))) else _listed(value)
            for field in fields(self)
        }

    @classmethod
    def from_plain(cls, value: Any) -> KnownWords:
        """Read plain data; other keys, of later versions, are left out.

        Raises:
            ValueError: It cannot be meant.
        """
        if not isinstance(value, Mapping):
            raise ValueError('it is no object with keys')
        content: dict[str, Any] = {}
        for field in fields(cls):
            entry = value.get(field.name)
            if entry is None:
                continue
            if field.name == 'threshold':
                if isinstance(entry, bool) or not isinstance(entry, (int, float)) or not 0 <= entry <= 1:
                    raise ValueError("'threshold' is no number from 0 to 1")
                content[field.name] = float(entry)
                continue
            if not isinstance(entry, (list, tuple)) or not all(isinstance(text, str) for text in entry):
                raise ValueError(f"'{field.name}' is no list of texts")
            content[field.name] = frozenset(entry) if field.name.endswith('_words') else tuple(entry)
        return cls(**content)


FAR_MARK = ' (?)'
"""What stands in images behind the name of what is far from the training of a model."""


def far_line(prompts: Iterable[str]) -> str:
    """What people are told about prompts that are far from the training of a model."""
    return f'not trained with{FAR_MARK}: {listed(prompts, 8)}'


def words_of(texts: Iterable[str]) -> list[str]:
    """Words of texts in lower case, in their order; numbers and signs are none."""
    return [word for text in texts for word in _WORD.findall(text.lower())]


_WORD = re.compile(r'[^\W\d_]+')


def singulars(word: str) -> set[str]:
    """The word and what its singular may be."""
    forms = {word}
    for plural, singular in (('ves', 'f'), ('ves', 'fe'), ('ies', 'y'), ('es', ''), ('s', '')):
        if word.endswith(plural) and not word.endswith('ss') and len(word) > len(plural) + 1:
            forms.add(word[: len(word) - len(plural)] + singular)
    return forms


def _listed(value: Sequence[str] | frozenset[str]) -> list[str]:
    return sorted(value) if isinstance(value, frozenset) else list(value)
