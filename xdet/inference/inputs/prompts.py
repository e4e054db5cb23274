"""From what users type to one vocabulary, or one list of texts, per image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from xdet.datasets.vocab import get_vocabulary
from xdet.io.schema import shown
from xdet.structures import Vocabulary
from xdet.structures.vocabulary import check_texts

NamedVocabulary = str | Vocabulary

_SEPARATOR = re.compile(r'[\t\r\n]|(?<!\S)\.(?!\S)')
_EXAMPLE = "for example things='dog . cat', stuff='grass . sky', or classes='road . car', or vocabulary='coco_panoptic'"


def resolve_vocabularies(
    count: int | None,
    things: str | Sequence | None = None,
    stuff: str | Sequence | None = None,
    classes: str | Sequence | None = None,
    vocabulary: NamedVocabulary | Sequence[NamedVocabulary] | None = None,
    default: Vocabulary | None = None,
) -> list[Vocabulary]:
    """One vocabulary per image.

    Each of ``things``, ``stuff`` and ``classes`` is a string ``'dog . cat'``, a list of names, or, for names that
    differ between images, a list with one such list per image. Images that share names share the object.

    Args:
        count (int, optional): Number of images; None when one answer holds for all of them.
        things (str | Sequence, optional): Countable classes.
        stuff (str | Sequence, optional): Uncountable classes.
        classes (str | Sequence, optional): One list for users who make no difference.
        vocabulary (str | Vocabulary | Sequence, optional): A vocabulary, the name of one that comes with xdet, or a
            list with one of these per image.
        default (Vocabulary, optional): What the model knows when the user names nothing.

    Raises:
        ValueError: No names and no default, several kinds of names, or per-image lists of the wrong number.
    """
    names = dict(things=things, stuff=stuff, classes=classes)
    given = [key for key, value in names.items() if value is not None]
    if vocabulary is not None:
        if given:
            raise ValueError(f'give either vocabulary or {", ".join(given)}, not both')
        per_image: list[Any] = [vocabulary] * (count or 1)
        if isinstance(vocabulary, Sequence) and not isinstance(vocabulary, str):
            per_image = list(vocabulary)
            check_count('vocabulary', len(per_image), count)
        return [_vocabulary_of(item) for item in per_image]
    if not given:
        if default is None:
            raise ValueError(f'no class names were given and this model has none of its own; {_EXAMPLE}')
        return [default] * (count or 1)
    columns = {key: _per_image(key, names[key], count) for key in given}
    cache: dict[Any, Vocabulary] = {}
    result = []
    for index in range(count or 1):
        prompts = {key: column[index] for key, column in columns.items()}
        key = tuple((name, _hashable(name, prompt)) for name, prompt in prompts.items())
        if key not in cache:
            cache[key] = _from_prompts(prompts, index if any(map(_is_nested, names.values())) else None)
        result.append(cache[key])
    return result


def resolve_texts(key: str, value: Any, count: int | None) -> list[tuple[str, ...]]:
    """Phrases, questions and other texts of every image.

    Args:
        key (str): What they are called, for errors.
        value (str | Sequence): A string, see :func:`split_texts`, a list of texts, or one of these lists per image.
        count (int): Number of images.

    Raises:
        ValueError: No text, an empty one, something else than text, or per-image lists of the wrong number.
    """
    per_image = _per_image(key, value, count)
    result = []
    for index, item in enumerate(per_image):
        where = f'{key} of image {index}' if _is_nested(value) else key
        if isinstance(item, str) and key == 'phrases':
            refuse_two_readings(where, item)
        texts = split_texts(item) if isinstance(item, str) else list(item)
        if not texts:
            raise ValueError(f"{where}: no text given; accepted are 'one text . another text' and lists of texts")
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                raise ValueError(
                    f'{where}: {shown(text)} is empty or not a string; every text needs at least one letter'
                )
        check_texts(where, texts)
        result.append(tuple(text.strip() for text in texts))
    return result


def split_texts(texts: str) -> list[str]:
    """Texts of a string, separated by tabs, line ends or full stops that stand alone: ``'the red car . a person'``.

    Unlike in lists of class names, commas and full stops after a word belong to the text.
    """
    return [part.strip() for part in _SEPARATOR.split(texts.lstrip('\ufeff')) if part.strip()]


def read_texts(key: str, value: Any, separators: str = '.;') -> list[Any]:
    """Texts that the argument of a method was given: a list as it is, one text as a list.

    Args:
        key (str): The argument, for errors.
        value (str | Sequence): ``'the left dog'``, ``'the left dog . a cat'`` or a list.
        separators (str): Characters after which another text may begin.

    Raises:
        ValueError: A text that may be one or several, or neither text nor list.
    """
    if isinstance(value, str):
        refuse_two_readings(key, value, separators)
        return split_texts(value) or [value]
    if not _is_sequence(value):
        raise ValueError(f'{key} is a {type(value).__name__}; accepted are a text and lists of texts')
    return list(value)


def refuse_two_readings(key: str, text: str, separators: str = '.;') -> None:
    """Ask about a text that may be one phrase or several, as ``'a cat. a dog.'`` may, instead of guessing.

    Raises:
        ValueError: It may; the message names both readings and how each is written.
    """
    if _SEPARATOR.search(text):
        return  # it says so itself
    parts = [part.strip() for part in re.split(rf'(?<=[{re.escape(separators)}])(?=\s|$)', text) if part.strip()]
    if '?' not in separators:
        parts = [part.rstrip(separators).strip() for part in parts]
    if len(parts) > 1:
        several = ', '.join(map(repr, parts[:4])) + (', ...' if len(parts) > 4 else '')
        raise ValueError(
            f'{key}: {shown(text)} may be {len(parts)} texts or one; write [{several}] or {" . ".join(parts[:4])!r} '
            f'for {len(parts)}, and [{shown(text)}] or {shown(text + " .")} for one'
        )


def _from_prompts(prompts: dict[str, Any], index: int | None) -> Vocabulary:
    try:
        return Vocabulary.from_prompts(**prompts)
    except ValueError as error:
        if index is None:
            raise
        raise ValueError(f'class names of image {index}: {error}') from error


def _vocabulary_of(item: Any) -> Vocabulary:
    if isinstance(item, Vocabulary):
        return item
    if not isinstance(item, str):
        raise ValueError(f'vocabulary is a {type(item).__name__}; accepted are a name, a Vocabulary, or one per image')
    return get_vocabulary(item)


def _per_image(key: str, value: Any, count: int | None) -> list:
    """The value for every image: one for all is repeated, one per image is checked."""
    if not _is_sequence(value) and not isinstance(value, str):
        raise ValueError(f"{key} is a {type(value).__name__}; accepted are a list of texts or a string 'dog . cat'")
    if not _is_nested(value):
        return [value] * (count or 1)
    if not all(_is_sequence(item) for item in value):
        raise ValueError(f'{key} mixes texts and lists of texts; give one list, or one list per image')
    check_count(key, len(value), count)
    return list(value)


def check_count(key: str, given: int, count: int | None) -> None:
    """Whether a list with one entry per image has as many as there are images.

    Raises:
        ValueError: It has not, or one answer has to hold for all images (None).
    """
    if count is None:
        raise ValueError(
            f'{key} has {given} entries, one per image, but how many images there are is not known; give one for all'
        )
    if given != count:
        raise ValueError(f'{key} has {given} entries, one per image, but there are {count} images')


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_nested(value: Any) -> bool:
    return _is_sequence(value) and any(_is_sequence(item) for item in value)


def _hashable(key: str, prompt: Any) -> Any:
    if isinstance(prompt, str):
        return prompt
    for name in prompt:
        if not isinstance(name, str):
            raise ValueError(f'{key}: class name {shown(name)} is not a string; accepted are lists of texts')
    return tuple(prompt)
