"""Images of which it is known what is there: read from labelled sets, and looked at by the model."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdet.datasets.exchange.source import first_file, usual_folders
from xdet.datasets.files.coco_json import (
    check_category,
    field,
    file_name,
    index_categories,
    index_images,
    load_coco_json,
    sentence_text,
)
from xdet.io.reading import as_on_disk, expand, is_address, read_json
from xdet.io.schema import ID, require, shown
from xdet.structures.vocabulary import same_text

from .rule import KINDS, Finding

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer


@dataclass(frozen=True)
class Case:
    """An image of which it is known what is there.

    Attributes:
        image (str): Path or address.
        present (tuple[str, ...]): Names, or phrases.
        absent (tuple[str, ...]): Those that are not there.
    """

    image: str
    present: tuple[str, ...]
    absent: tuple[str, ...]


def read_cases(path: str | Path, images: str | Path | None = None, seed: int = 0) -> tuple[str, list[Case]]:
    """What is there in the images of a labelled set.

    Args:
        path (str | Path): A COCO JSON of instances or panoptic segments, in which all categories are annotated
            exhaustively; one of referring expressions, whose phrases are absent from images that show none of their
            category; or a list of objects ``image``, ``present`` and ``absent`` with ``names`` or ``phrases``.
        images (str | Path, optional): Folder of the images; None is where images of COCO usually are, beside the file.
        seed (int): Of the choice of absent phrases.

    Returns:
        tuple[str, list[Case]]: A key of :data:`KINDS`, and the cases.

    Raises:
        OSError, ValueError: The file cannot be read, or is of another kind.
    """
    beside = expand(path).parent
    folders = [expand(images)] if images is not None else [*usual_folders(expand(path)), beside]
    content = read_json(path)
    if isinstance(content, list):
        return _listed_cases(str(path), content, folders[-1])
    content = load_coco_json(str(path), keys=('images', 'annotations', 'categories'))
    found = index_images(str(path), content, sizes=False)
    names = {key: entry['name'] for key, entry in index_categories(str(path), content).items()}
    phrases: dict[Any, list[tuple[str, Any]]] = {key: [] for key in found}
    shown_categories: dict[Any, set[Any]] = {key: set() for key in found}
    for position, annotation in enumerate(content['annotations']):
        where = f'{path}: annotation {position} (counted from 0)'
        image = require(annotation, 'image_id', ID, where)
        if image not in found:
            raise ValueError(f'{where}: is of image {shown(image)}, which the file does not list')
        segments = require(annotation, 'segments_info', list, where, [annotation])
        own = [check_category(where, names, field(one, 'category_id', ID, where)) for one in segments]
        shown_categories[image].update(own)
        for sentence in require(annotation, 'sentences', list, where, []):
            text = sentence if isinstance(sentence, str) else sentence_text(sentence, where)
            if text.strip() and own:
                phrases[image].append((text.strip(), own[0]))
    paths = {key: _path(folders, file_name(str(path), entry)) for key, entry in found.items()}
    if any(phrases.values()):
        return 'phrases', _phrase_cases(paths, phrases, shown_categories, random.Random(seed))
    return 'names', [
        Case(
            paths[key],
            tuple(name for category, name in names.items() if category in shown_categories[key]),
            tuple(name for category, name in names.items() if category not in shown_categories[key]),
        )
        for key in found
    ]


def _path(folders: Sequence[Path], name: str) -> str:
    """Of an image, in the first folder that has it; if none has, in the last."""
    return first_file(folder / name for folder in folders) or as_on_disk(str(folders[-1] / name))


def _phrase_cases(
    paths: Mapping[Any, str],
    phrases: Mapping[Any, list[tuple[str, Any]]],
    categories: Mapping[Any, set[Any]],
    rng: random.Random,
) -> list[Case]:
    """As many absent phrases as present ones, at most four each, of categories that the image does not show."""
    every = sorted({pair for own in phrases.values() for pair in own}, key=str)
    cases = []
    for key, own in phrases.items():
        present = tuple(dict.fromkeys(text for text, _ in own))
        texts = (text for text, category in every if category not in categories[key] and text not in present)
        strange = list(dict.fromkeys(texts))
        if present and strange:
            count = min(4, len(present), len(strange))
            cases.append(Case(paths[key], tuple(rng.sample(present, count)), tuple(rng.sample(strange, count))))
    return cases


def _listed_cases(path: str, content: list[Any], folder: Path) -> tuple[str, list[Case]]:
    kinds = set()
    cases = []
    for position, entry in enumerate(content):
        where = f'{path}: entry {position} (counted from 0)'
        image = require(entry, 'image', str, where)
        lists = []
        for key in ('present', 'absent'):
            texts = require(entry, key, list, where, [])
            wrong = [text for text in texts if not isinstance(text, str) or not text.strip()]
            if wrong:
                raise ValueError(f"{where}: '{key}' has {shown(wrong[0])}; it must be a list of texts")
            lists.append(tuple(texts))
        twice = {same_text(text) for text in lists[0]} & {same_text(text) for text in lists[1]}
        if twice:
            raise ValueError(f'{where}: {shown(min(twice))} is both present and absent')
        kinds.add(require(entry, 'kind', str, where, 'names'))
        cases.append(Case(image if is_address(image) else as_on_disk(str(folder / image)), *lists))
    if len(kinds) > 1 or not kinds <= set(KINDS):
        found = ', '.join(sorted(map(repr, kinds)))
        raise ValueError(f"{path}: 'kind' is {found}; accepted is one of {', '.join(KINDS)} in all entries")
    if not cases:
        raise ValueError(f'{path}: is an empty list')
    for position, case in enumerate(cases):
        if not case.present and not case.absent:
            where = f'{path}: entry {position} (counted from 0)'
            raise ValueError(f"{where}: names nothing; it must have texts in 'present' or 'absent'")
    return kinds.pop(), cases


def look(
    inferencer: XDecoderInferencer,
    kind: str,
    cases: Iterable[Case],
    task: str | None = None,
    background: Sequence[str] | None = None,
) -> list[Finding]:
    """What the model finds in cases.

    Args:
        inferencer (XDecoderInferencer): The model.
        kind (str): A key of :data:`KINDS`.
        cases (Iterable[Case]): The images.
        task (str, optional): Whose rule says what is reported without a threshold; None is the last of the kind.
        background (Sequence[str], optional): Names that compete; those that a case asks for are left out of it.

    Raises:
        ImageReadError, ValueError: An image cannot be read, or the model has no such task.
    """
    findings = []
    for case in cases:
        asked = [*case.present, *case.absent]
        if not asked:
            continue
        # A threshold of 0 is none, whatever calibration there is.
        options: dict[str, Any] = dict(presence=0.0, phrases=asked) if kind == 'phrases' else dict(classes=asked)
        options['presence'] = 0.0
        if background and kind == 'names':
            own = {same_text(name) for name in asked}
            options['background'] = [name for name in background if same_text(name) not in own] or None
        result = inferencer.results(case.image, task or KINDS[kind][-1], **options)
        presence, there = result.presence, set(asked) - set(result.absent)
        scores = np.array([presence[name] for name in asked], np.float64)
        reported = np.array([name in there for name in asked], bool)
        cut = len(case.present)
        findings.append(Finding(scores[:cut], scores[cut:], reported[:cut], reported[cut:]))
    return findings
