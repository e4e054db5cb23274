"""What the page does with models and images; knows nothing of browsers.

Images whose longer side is longer than :data:`SIDE` pixels are shrunk before anything else, so that every request needs
a bounded amount of memory: sizes, boxes and masks refer to the image as it is shown.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xdet.datasets.files.image_io import ImageReadError, decode_image, open_image
from xdet.editing import remove_region
from xdet.inference.inputs.images import ImageSource
from xdet.inference.outputs.typed import Result
from xdet.io.reading import read_bytes, shorten
from xdet.structures import FORMATS, TextLine, decode_mask
from xdet.visualization import thumbnail
from xdet.visualization.drawing import enlarge, paint_mask

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer
    from xdet.inference.loaded import EncodedImage

MAX_BYTES, MAX_PIXELS, SIDE = 32 << 20, 64_000_000, 1600
"""Largest file, most pixels of an image, and the longer side of what models see."""

MOST_IMAGES = 24
"""Images of a search."""

_ENCODED = 3  # images that stay encoded for further prompts

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Picture:
    """An image that was read.

    Attributes:
        name (str): Of its file.
        pixels (NDArray[np.uint8]): BGR ``[H, W, 3]``, as the model gets it.
        original (tuple[int, int]): Height and width of the file, upright.
        key (str): Tells it from others.
    """

    name: str
    pixels: NDArray[np.uint8]
    original: tuple[int, int]
    key: str

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """RGB ``[H, W, 3]``."""
        return np.ascontiguousarray(self.pixels[..., ::-1])

    @property
    def source(self) -> ImageSource:
        """As inferencers take it, which then know its name."""
        return ImageSource(self.name, self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True)
class Region:
    """Something with a mask that was found.

    Attributes:
        name (str): Class name, phrase or number.
        text (str): Its score and share of the image, in words.
        row (Mapping): What the prediction says of it.
    """

    name: str
    text: str
    row: Mapping[str, Any]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """``[H, W]``."""
        return decode_mask(self.row['segmentation'])


@dataclass(frozen=True)
class Found:
    """What a task found.

    Attributes:
        model (str): Who found it.
        task (str): What was asked for.
        prediction (dict): Plain data, as everywhere.
        lines (list[TextLine]): Captions, answers and the like.
        regions (list[Region]): What has a mask and is reported.
        picture (Picture | None): The image that it was found in, whatever was chosen since; None of a search.
        drawn (NDArray[np.uint8] | None): The image with segments, RGB; None if nothing is to be drawn.
        kept (NDArray[np.uint8] | None): The same with texts below, for files.
        unknown (tuple[str, ...]): Words that the model was not trained with.
        ranked (list[tuple[NDArray, str]]): Images of a search with their place and score, best first.
        failed (tuple[str, ...]): Why images of a search were left out.
    """

    model: str
    task: str
    prediction: dict[str, Any]
    lines: list[TextLine]
    regions: list[Region]
    picture: Picture | None = None
    drawn: NDArray[np.uint8] | None = None
    kept: NDArray[np.uint8] | None = None
    unknown: tuple[str, ...] = ()
    ranked: tuple[tuple[NDArray[np.uint8], str], ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.prediction['height'], self.prediction['width']


class Desk:
    """Models by name, each built when it is first asked; answers one question at a time.

    Args:
        models (Mapping[str, Callable]): Functions that build an inferencer.
    """

    def __init__(self, models: Mapping[str, Callable[[], XDecoderInferencer]]) -> None:
        self.names = tuple(models)
        self._builders = dict(models)
        self._built: dict[str, XDecoderInferencer] = {}
        self._encoded: OrderedDict[tuple[str, str, str | None], EncodedImage] = OrderedDict()
        self._lock = threading.RLock()

    def model(self, name: str) -> XDecoderInferencer:
        """A model by its name.

        Raises:
            ValueError: Unknown name; or the model cannot be built.
        """
        with self._lock:
            if name not in self._builders:
                raise ValueError(f'model {shorten(repr(name), 60)} is unknown; accepted are {", ".join(self.names)}')
            if name not in self._built:
                self._built[name] = self._builders[name]()
            return self._built[name]

    def run(
        self,
        name: str,
        task: str,
        pictures: Sequence[Picture],
        options: Mapping[str, Any],
        progress: Progress = lambda share, words: None,
    ) -> Found:
        """Ask a model.

        Args:
            name (str): Of the model.
            task (str): Of the model.
            pictures (Sequence[Picture]): One, or several for a task that ranks.
            options (Mapping[str, Any]): See :func:`xdet.page.controls.read_values`.
            progress (Callable): Told a share of the work that is done and what comes next.

        Raises:
            As :meth:`xdet.inference.inferencer.XDecoderInferencer.__call__`.
        """
        with self._lock:
            progress(0.05, 'Loading the model')
            model = self.model(name)
            if task in FORMATS and FORMATS[task].ranks:
                progress(0.3, f'Looking at {len(pictures)} images')
                return _ranked(model, name, task, pictures, options)
            progress(0.3, 'Looking at the image')
            encoded = self._encode(model, name, task, pictures[0])
            progress(0.6, 'Answering')
            result: Result = model.results(encoded, task, **_fitting(options, pictures[0]))
            progress(0.9, 'Drawing')
            return _found(result, name, pictures[0])

    def describe(self, found: Found, number: int) -> str:
        """What a model says of a region that it found; the region is a prompt, as any other."""
        assert found.picture is not None  # there are regions
        with self._lock:
            model = self.model(found.model)
            encoded = self._encode(model, found.model, 'refcaption', found.picture)
            return str(model.describe(encoded, found.regions[number].mask[None]).texts[0])

    def ask(self, found: Found, number: int, question: str) -> list[TextLine]:
        """A question about the box around a region, as an image of its own, and its answers."""
        if not question.strip():
            raise ValueError('Question: it is empty; write one, such as "what colour is it?"')
        assert found.picture is not None
        x1, y1, x2, y2 = found.regions[number].row['box']
        with self._lock:
            answers = self.model(found.model).ask(np.ascontiguousarray(found.picture.pixels[y1:y2, x1:x2]), [question])
        return FORMATS['vqa'].lines(answers.sample, 0.0)

    @staticmethod
    def remove(found: Found, number: int) -> NDArray[np.uint8]:
        """The image, RGB, with a region filled from what lies around it."""
        assert found.picture is not None
        return remove_region(found.picture.rgb, found.regions[number].mask)

    def _encode(self, model: XDecoderInferencer, name: str, task: str, picture: Picture) -> EncodedImage:
        """The image after the expensive half of the model, which prompts and tasks share."""
        key = (name, picture.key, task if task in model.pipelines else None)
        if key not in self._encoded:
            self._encoded[key] = model.set_image(picture.source, task)
        self._encoded.move_to_end(key)
        while len(self._encoded) > _ENCODED:
            self._encoded.popitem(last=False)
        return self._encoded[key]


def read_picture(path: str | Path, name: str | None = None) -> Picture:
    """Read an image that somebody handed in.

    Args:
        path (str | Path): File.
        name (str, optional): What to call it; None is the name of the file.

    Raises:
        ImageReadError: It is no image, damaged, or too large; one line, which has its name.
    """
    name = shorten(name or Path(path).name, 80)
    try:
        data = read_bytes(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = str(error).removeprefix(f'{shorten(str(path))}: ')
        raise ImageReadError(name, reason.replace(str(path), name)) from None
    try:
        with open_image(data) as image:
            width, height = image.size
    except Exception:  # whatever is wrong, decoding says it better
        width = height = 0
    if width * height > MAX_PIXELS:
        raise ImageReadError(name, f'has {width} x {height} pixels; accepted are up to {MAX_PIXELS / 1e6:.0f} million')
    pixels = decode_image(data, name)
    return Picture(name, _shrunk(pixels), pixels.shape[:2], f'{path}:{len(data)}')


def region_at(found: Found, x: float, y: float) -> int | None:
    """Which region lies at a place of :attr:`Found.drawn`; of several the smallest, None for none."""
    if found.drawn is None or not found.regions:
        return None
    factor = _factor(found)
    row, column = int(y) // factor, int(x) // factor
    if not (0 <= row < found.size[0] and 0 <= column < found.size[1]):
        return None
    there = [number for number, region in enumerate(found.regions) if region.mask[row, column]]
    return min(there, key=lambda number: found.regions[number].row['area'], default=None)


def lit(found: Found, number: int) -> NDArray[np.uint8]:
    """The drawn image with one region lit up and all else dimmed."""
    assert found.drawn is not None
    factor = _factor(found)
    mask = enlarge(found.regions[number].mask, factor)
    picture = found.drawn.copy()
    height, width = mask.shape
    view = picture[:height, :width]
    view[~mask] = (0.45 * view[~mask] + 0.55 * 255 * 0.12).astype(np.uint8)
    line = max(2, round(0.006 * max(view.shape)))
    paint_mask(picture, np.pad(mask, ((0, picture.shape[0] - height), (0, picture.shape[1] - width))), _INK, 0.0, line)
    return picture


_INK = np.array([255, 255, 255], np.uint8)


def _factor(found: Found) -> int:
    """How many times larger a small image is drawn."""
    assert found.drawn is not None
    return max(1, found.drawn.shape[0] // found.size[0]) if found.drawn.shape[:2] != found.size else 1


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    longer = max(pixels.shape[:2])
    if longer <= SIDE:
        return pixels
    size = [max(1, round(side * SIDE / longer)) for side in pixels.shape[1::-1]]
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _fitting(options: Mapping[str, Any], picture: Picture) -> dict[str, Any]:
    """Options whose files of masks are read, as images are, and brought to the size of the image."""
    given = dict(options)
    if 'masks' in given:
        masks = []
        for path in given['masks']:
            mask = read_picture(path)
            if mask.original != picture.original:
                sizes = [f'{height} x {width}' for height, width in (mask.original, picture.original)]
                raise ValueError(f'{mask.name} has {sizes[0]} pixels (height, width), but the image has {sizes[1]}')
            masks.append(mask.pixels.any(axis=2))
        given['masks'] = np.stack(masks)
    return given


def _found(result: Result, name: str, picture: Picture) -> Found:
    prediction = result.prediction
    form = FORMATS[result.task]
    unknown = dict.fromkeys(word for entry in prediction.get('unknown_prompts', ()) for word in entry['words'])
    return Found(
        name,
        result.task,
        prediction,
        form.lines(result.sample, result.score_thr),
        _regions(prediction, result.score_thr),
        picture,
        result.plot(texts=False),
        result.plot(),
        tuple(unknown),
    )


def _regions(prediction: Mapping[str, Any], score_thr: float) -> list[Region]:
    """Rows of a prediction that have masks: segments, poses, described regions."""
    pixels = prediction['height'] * prediction['width']
    found = []
    for rows in prediction.values():
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            continue
        for number, row in enumerate(rows, start=1):
            if 'segmentation' not in row or not row['area'] or row.get('score', 1.0) < score_thr:
                continue
            score = f'score {row["score"]:.2f}, ' if 'score' in row else ''
            shown = f'object {row["object"] + 1}, answer {row["answer"] + 1}' if 'answer' in row else f'region {number}'
            name = row.get('name') or row.get('phrase') or shown
            found.append(Region(name, f'{score}{100 * row["area"] / pixels:.1f} % of the image', row))
    return found


def _ranked(
    model: XDecoderInferencer, name: str, task: str, pictures: Sequence[Picture], options: Mapping[str, Any]
) -> Found:
    if not pictures:
        raise ValueError('no image is there to search in; add some')
    if len(pictures) > MOST_IMAGES:
        raise ValueError(f'{len(pictures)} images are too many to search in; accepted are up to {MOST_IMAGES}')
    result = model([picture.source for picture in pictures], task, show_progress=False, **options)
    rankings, ranked, lines = result['rankings'], [], []
    for ranking in rankings:
        lines.append(TextLine(ranking['text'], bold=True))
        for row in ranking['images']:
            lines.append(TextLine.scored(row['image'], row['score']))
            if ranking is rankings[0]:
                ranked.append((thumbnail(pictures[row['index']].rgb), f'{row["rank"]}. {row["image"]}'))
    far = [entry for prediction in result['predictions'][:1] for entry in prediction.get('unknown_prompts', ())]
    unknown = dict.fromkeys(word for entry in far for word in entry['words'])
    prediction = dict(task=task, rankings=rankings, predictions=result['predictions'])
    return Found(name, task, prediction, lines, [], unknown=tuple(unknown), ranked=tuple(ranked))
