"""When a name or phrase is not there: thresholds of presence with a stated error rate, learned from a few images.

The rule is conformal risk control, which is split conformal prediction where every image has one absent name: of names
that are absent, on average over images, at most a share alpha is reported. It needs no assumption about the model, but
images that are like those it was learned from.
"""

from __future__ import annotations

import hashlib
import logging
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xdet.datasets.exchange.source import usual_folders
from xdet.datasets.files.coco_json import (
    check_category,
    field,
    file_name,
    index_categories,
    index_images,
    load_coco_json,
    sentence_text,
)
from xdet.io.reading import as_on_disk, expand, is_address, read_json, shorten
from xdet.io.schema import ID, number, require, shown
from xdet.io.writing import write_json
from xdet.structures import Vocabulary, clean_name
from xdet.structures.vocabulary import same_text

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer

_LOGGER = logging.getLogger(__name__)

FORMAT = 1
"""Of the file."""

TEMPERATURES = (0.05, 20.0)
"""Least and greatest temperature."""

KINDS = dict(names=('semantic', 'instance', 'panoptic'), phrases=('refseg',))
"""What is asked for, and the tasks whose presence is that."""


@dataclass(frozen=True)
class Threshold:
    """What was learned for the tasks of one kind.

    Attributes:
        presence (float): Names and phrases are there when their presence is above this.
        alpha (float): At most this share of absent ones is reported.
        images (int): From which it was learned.
        absent (int): Absent names or phrases in them.
        background (list[str]): Names that competed.
    """

    presence: float
    alpha: float
    images: int
    absent: int
    background: list[str]


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


@dataclass(frozen=True)
class Finding:
    """What the model says about a case: presence, and whether the task reports it without a threshold of presence."""

    present: NDArray[np.float64]
    absent: NDArray[np.float64]
    present_reported: NDArray[np.bool_]
    absent_reported: NDArray[np.bool_]


def conformal_threshold(absent: Sequence[Sequence[float]], alpha: float) -> float:
    """Least threshold of presence that keeps the share of absent names that are reported at most ``alpha``.

    Of a new image that is exchangeable with these, the expected share of its absent names with a presence above the
    threshold is at most ``alpha`` (conformal risk control with the share as the loss, which falls with the threshold
    and is at most 1).

    Args:
        absent (Sequence[Sequence[float]]): For every image the presence of its absent names; images without any are
            left out.
        alpha (float): Above 0 and below 1.

    Raises:
        ValueError: There are too few images for this rate.
    """
    alpha = number('alpha', alpha, float, 0, 1)
    rows = [np.asarray(row, np.float64) for row in absent if len(row)]
    needed = math.ceil(1 / alpha - 1 - 1e-9) if 0 < alpha < 1 else 0
    if not needed:
        raise ValueError(f'alpha is {alpha}; accepted are numbers between 0 and 1')
    if len(rows) < needed:
        raise ValueError(
            f'{len(rows)} images with absent names are too few for alpha {alpha:g}, which needs {needed}; give more '
            'images or a larger alpha'
        )
    scores = np.concatenate(rows)
    weights = np.concatenate([np.full(len(row), 1 / len(row)) for row in rows])
    order = np.argsort(-scores, kind='stable')
    scores, weights = scores[order], weights[order]
    allowed = alpha * (len(rows) + 1) - 1  # of the sum of the losses of these images
    # The loss at a threshold equal to a score is the weight of all scores above it.
    above = np.searchsorted(-scores, -scores, side='left')
    total = np.concatenate([[0.0], np.cumsum(weights)])
    fitting = scores[total[above] <= allowed + 1e-9]
    return 0.0 if total[-1] <= allowed + 1e-9 else float(fitting.min())


def names_key(vocabulary: Vocabulary) -> str:
    """What a temperature is kept under: a hash of the class names in any order."""
    names = sorted(clean_name(text).lower() for texts in vocabulary.texts for text in texts)
    return hashlib.sha256('\n'.join(names).encode()).hexdigest()[:16]


class Calibration:
    """Thresholds of presence and temperatures of one model, and the file beside its weights that keeps them.

    Args:
        weights_sha256 (str | None): Of the weights that they belong to.
        thresholds (Mapping[str, Threshold], optional): By kind, see :data:`KINDS`.
        temperatures (Mapping[str, float], optional): Of names of pixels, by :func:`names_key` of the vocabulary.
    """

    def __init__(
        self,
        weights_sha256: str | None,
        thresholds: Mapping[str, Threshold] | None = None,
        temperatures: Mapping[str, float] | None = None,
    ) -> None:
        self.weights_sha256 = weights_sha256
        self.thresholds = dict(thresholds or {})
        self.temperatures = dict(temperatures or {})

    def presence(self, task: str) -> float | None:
        """Threshold of a task, if there is one."""
        kinds = [kind for kind, tasks in KINDS.items() if task in tasks and kind in self.thresholds]
        return self.thresholds[kinds[0]].presence if kinds else None

    def with_threshold(self, kind: str, threshold: Threshold) -> Calibration:
        """A copy with another threshold."""
        return Calibration(self.weights_sha256, {**self.thresholds, kind: threshold}, self.temperatures)

    def temperature(self, vocabulary: Vocabulary | None) -> float:
        """Temperature of a vocabulary; 1 where none was learned."""
        return 1.0 if vocabulary is None else self.temperatures.get(names_key(vocabulary), 1.0)

    def with_temperature(self, vocabulary: Vocabulary, temperature: float) -> Calibration:
        """A copy with another temperature."""
        temperatures = {**self.temperatures, names_key(vocabulary): temperature}
        return Calibration(self.weights_sha256, self.thresholds, temperatures)

    def save(self, path: str | Path) -> None:
        """Write the file; it is whole or not there.

        Raises:
            OSError: It cannot be written.
        """
        thresholds = {kind: asdict(threshold) for kind, threshold in self.thresholds.items()}
        content: dict[str, Any] = dict(format=FORMAT, weights_sha256=self.weights_sha256, thresholds=thresholds)
        if self.temperatures:
            content['temperatures'] = self.temperatures
        write_json(path, content, indent=1)

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a file.

        Raises:
            OSError: It cannot be read.
            ValueError: It is none of these files.
        """
        content = read_json(path, max_bytes=1 << 24)
        if require(content, 'format', int, str(path)) != FORMAT:
            raise ValueError(f"{path}: 'format' is {content['format']}; this version of xdet reads {FORMAT}")
        thresholds = {}
        for kind, entry in require(content, 'thresholds', dict, str(path)).items():
            where = f"{path}: thresholds of '{shorten(kind, 40)}'"
            if kind not in KINDS:
                raise ValueError(f'{where}: accepted are {", ".join(KINDS)}')
            thresholds[kind] = Threshold(
                presence=number(f"{where}: 'presence'", require(entry, 'presence', float, where), float, 0, 1),
                alpha=number(f"{where}: 'alpha'", require(entry, 'alpha', float, where), float, 0, 1),
                images=require(entry, 'images', int, where),
                absent=require(entry, 'absent', int, where),
                background=[str(name) for name in require(entry, 'background', list, where)],
            )
        temperatures = {
            str(key): number(f"{path}: temperature of '{shorten(key, 40)}'", value, float, *TEMPERATURES)
            for key, value in require(content, 'temperatures', dict, str(path), {}).items()
        }
        return cls(require(content, 'weights_sha256', str, str(path), None), thresholds, temperatures)


def path_beside(weights: str | Path) -> Path | None:
    """Where the calibration of weights lies; None for weights at an address."""
    return None if is_address(str(weights)) else expand(weights).with_suffix('.calibration.json')


def load_beside(weights: str | None, sha256: Callable[[], str | None]) -> Calibration | None:
    """The calibration beside a file of weights, if there is one and it belongs to them.

    Args:
        weights (str | None): Path or address.
        sha256 (Callable[[], str | None]): Of the weights; asked for only if there is a calibration.

    Raises:
        ValueError: The file is damaged.
    """
    path = path_beside(weights) if weights is not None else None
    if path is None or not path.is_file():
        return None
    calibration = Calibration.load(path)
    if calibration.weights_sha256 != sha256():
        _LOGGER.warning(f'{path} belongs to other weights and is not used; run xdet calibrate again')
        return None
    return calibration


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
    paths = [as_on_disk(str(folder / name)) for folder in folders]
    return next((path for path in paths if Path(path).is_file()), paths[-1])


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


def measure(findings: Sequence[Finding], presence: float | None = None) -> dict[str, float]:
    """Shares of present and of absent names that are reported.

    Args:
        findings (Sequence[Finding]): What the model found.
        presence (float, optional): Report what has a presence above this; None reports what the task reports.

    Returns:
        dict[str, float]: ``recall`` of what is present and ``false`` of what is absent, means over names, and
        ``false_per_image``, the mean of images, which calibration bounds. NaN where there is nothing to count.
    """

    def reported(finding: Finding, side: str) -> NDArray[np.bool_]:
        if presence is None:
            return np.asarray(getattr(finding, f'{side}_reported'))
        return np.asarray(getattr(finding, side) > presence)

    present = np.concatenate([reported(finding, 'present') for finding in findings])
    absent = [reported(finding, 'absent') for finding in findings if len(finding.absent)]
    return dict(
        recall=float(present.mean()) if len(present) else math.nan,
        false=float(np.concatenate(absent).mean()) if absent else math.nan,
        false_per_image=float(np.mean([row.mean() for row in absent])) if absent else math.nan,
    )


def presence_at_recall(findings: Sequence[Finding], recall: float) -> float:
    """Threshold of presence at which at least this share of what is present is reported."""
    present = np.sort(np.concatenate([finding.present for finding in findings]))[::-1]
    kept = max(1, math.ceil(recall * len(present) - 1e-9))
    return float(np.nextafter(present[kept - 1], -np.inf))


def learn(kind: str, findings: Sequence[Finding], alpha: float, background: Sequence[str] | None = None) -> Threshold:
    """Threshold from what the model found, see :func:`conformal_threshold`."""
    rows = [finding.absent.tolist() for finding in findings if len(finding.absent)]
    return Threshold(
        presence=conformal_threshold(rows, alpha),
        alpha=alpha,
        images=len(rows),
        absent=sum(map(len, rows)),
        background=list(background or ()),
    )


__all__ = [
    'Calibration',
    'Case',
    'Finding',
    'KINDS',
    'Threshold',
    'conformal_threshold',
    'learn',
    'load_beside',
    'look',
    'measure',
    'names_key',
    'path_beside',
    'presence_at_recall',
    'read_cases',
]
