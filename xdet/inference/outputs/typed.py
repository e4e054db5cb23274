"""Results of the methods of :class:`~xdet.inference.inferencer.XDecoderInferencer`: arrays and texts, files, images."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xdet.datasets.exchange.polygons import Polygon, mask_polygons
from xdet.inference.inputs.images import ImageSource
from xdet.io.reading import expand
from xdet.io.writing import replacing, write_image, write_text
from xdet.lazy import import_optional
from xdet.structures import XDetDataSample, decode_mask

from .annotations import annotated_set, write_results
from .results import TASK_FORMATS
from .shapes import oriented_box
from .writer import png_bytes

if TYPE_CHECKING:
    from xdet.datasets.exchange import AnnotatedImage
    from xdet.visualization.local_visualizer import XDetLocalVisualizer

_IMAGES = ('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tif', '.tiff')


class Result:
    """What a method found in one image.

    Notebooks show it as an image, :func:`print` as lines of text.

    Attributes:
        task (str): The task behind the method.
        prediction (dict): The result as plain data, see docs/inference.md.
        sample (XDetDataSample): What the model predicted, on the CPU.
        score_thr (float): Instances and phrases below are neither drawn nor printed.
    """

    def __init__(
        self,
        prediction: dict[str, Any],
        sample: XDetDataSample,
        source: ImageSource,
        visualizer: XDetLocalVisualizer,
        score_thr: float = 0.3,
        color_by: str = 'class',
    ) -> None:
        self.task: str = prediction['task']
        self.prediction = prediction
        self.sample = sample
        self.score_thr = score_thr
        self._source, self._visualizer, self._color_by = source, visualizer, color_by

    @property
    def image(self) -> str:
        """Name of the image."""
        return str(self.prediction['image'])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image and of all masks, in pixels."""
        return self.prediction['height'], self.prediction['width']

    def to_json(self) -> str:
        """The result as JSON; masks are in COCO's run-length encoding."""
        return json.dumps(self.prediction, ensure_ascii=False, allow_nan=False)

    def plot(self, texts: bool = True) -> NDArray[np.uint8]:
        """The image with what was found drawn into it, RGB uint8 ``[H', W', 3]``; a file is read again for it.

        Args:
            texts (bool): Write captions, answers and the like below the image.

        Raises:
            ImageReadError: The file of the image is gone.
        """
        picture: NDArray[np.uint8] = self._visualizer.draw(
            self._source.read()[..., ::-1],
            self.sample,
            draw_gt=False,
            pred_score_thr=self.score_thr,
            color_by=self._color_by,
            draw_texts=texts,
        )
        return picture

    def show(self) -> None:
        """Open :meth:`plot` in the image viewer of the system.

        Raises:
            OSError: There is none, as on a machine without a display.
        """
        from PIL import Image, ImageShow

        image = Image.fromarray(self.plot())
        if not any(viewer.show(image) for viewer in ImageShow._viewers):
            raise OSError('no program to show images was found; use save("result.png")')

    def save(self, path: str | Path) -> Path:
        """Write :meth:`plot` or :meth:`to_json`, whichever the ending of the name says; the file is whole or not there.

        Args:
            path (str | Path): Ending in ``.json``, or in ``.png``, ``.jpg``, ``.webp``, ``.bmp`` or ``.tif``.

        Returns:
            Path: The file.

        Raises:
            OSError: It cannot be written.
            ValueError: It has another ending.
        """
        path = expand(path)
        suffix = path.suffix.lower()
        if suffix == '.json':
            write_text(path, self.to_json())
        elif suffix in _IMAGES:
            write_image(path, self.plot(), quality=95, lossless=True)  # lossless is an option of .webp
        else:
            raise ValueError(f"'{path.name}' ends in neither .json nor one of {', '.join(_IMAGES)}")
        return path

    def _repr_png_(self) -> bytes:
        return png_bytes(self.plot())

    def __str__(self) -> str:
        return '\n'.join(TASK_FORMATS[self.task].summary(self.prediction, self.score_thr))

    def __repr__(self) -> str:
        told = '; '.join(' '.join(line.split()) for line in str(self).splitlines()[:8])
        return f'<{type(self).__name__} of {self.image}: {told}>'


class Segments(Result):
    """Result of ``segment`` and ``refer``: as many entries everywhere as there are segments.

    ``refer`` has one for every phrase, also for those that were not found: their masks are empty.
    """

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def _rows(self) -> list[dict[str, Any]]:
        return list(self.prediction['segments'])

    @property
    def names(self) -> list[str]:
        """Class names, or phrases."""
        return [row['name'] if 'name' in row else row['phrase'] for row in self._rows]

    @property
    def labels(self) -> NDArray[np.int64]:
        """``[n]``: places of the names among those that were asked for."""
        return np.array([row.get('label', place) for place, row in enumerate(self._rows)], np.int64)

    @property
    def scores(self) -> NDArray[np.float64]:
        """``[n]``; NaN for semantic segmentation, which has none."""
        return np.array([row.get('score', np.nan) for row in self._rows], np.float64)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """``[n, 4]``: x1, y1, x2, y2 in pixels, tight around the masks; zeros for an empty one."""
        return np.array([row['box'] for row in self._rows], np.float64).reshape(-1, 4)

    @cached_property
    def oriented_boxes(self) -> NDArray[np.float64]:
        """``[n, 5]``: centre x and y, width, height and angle of the smallest turned boxes around the masks.

        Width is the longer side and the angle that of this side, in degrees clockwise from the x-axis
        (:func:`~xdet.inference.outputs.shapes.oriented_box`); zeros for an empty mask.
        """
        return np.array([oriented_box(row['segmentation']) for row in self._rows], np.float64).reshape(-1, 5)

    @cached_property
    def polygons(self) -> list[tuple[Polygon, ...]]:
        """Outlines of every mask, one polygon (``outer``, ``holes``) for each of its parts; none for an empty mask."""
        return [mask_polygons(row['segmentation']) for row in self._rows]

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """``[n, H, W]``."""
        return _masks(self._rows, self.size)

    @property
    def presence(self) -> dict[str, float]:
        """For every name or phrase that was asked for, whether it is in the image at all; see docs/presence.md."""
        if 'presence' in self.prediction:
            return dict(zip(self.prediction['classes'], self.prediction['presence'], strict=True))
        return {row['phrase']: row['presence'] for row in self._rows if 'phrase' in row}

    @property
    def absent(self) -> list[str]:
        """Names and phrases of which nothing is reported."""
        found = {name for name, row in zip(self.names, self._rows, strict=True) if row['area']}
        return [name for name in self.presence if name not in found]

    def save(self, path: str | Path, format: str | None = None) -> Path:
        """Write the result as an image or JSON, or in the format of another tool.

        Args:
            path (str | Path): As in :meth:`Result.save`; with ``format`` a new folder, or a file ending in ``.json``,
                ``.xml`` or ``.geojson`` where the format has one for an image.
            format (str, optional): ``'coco'``, ``'labelme'``, ``'cvat'`` or another of docs/data_formats.md. Segments
                whose scores are lower than what is drawn are left out, except from ``'coco-results'``.

        Returns:
            Path: The file or folder.

        Raises:
            OSError: It cannot be written, or the folder is not empty.
            ValueError: The ending or the format is unknown.
        """
        if format is None:
            return super().save(path)
        path = expand(path)
        write_results([self.prediction], format, path, self.score_thr)
        return path

    def to_annotations(self) -> AnnotatedImage:
        """The segments, of all scores, as what ``xdet.datasets.exchange`` reads from and writes to other formats."""
        return annotated_set([self.prediction]).images[0]

    def to_supervision(self) -> Any:
        """As ``supervision.Detections``, with the names in ``data['class_name']``; empty masks are left out.

        Raises:
            ImportError: supervision is not installed.
        """
        supervision = import_optional('supervision', 'to_supervision', 'results')
        found = np.array([bool(row['area']) for row in self._rows], bool)
        if not found.any():
            return supervision.Detections.empty()
        return supervision.Detections(
            xyxy=self.boxes[found],
            mask=self.masks[found],
            confidence=np.nan_to_num(self.scores[found], nan=1.0),
            class_id=self.labels[found],
            data=dict(class_name=np.array(self.names)[found]),
        )

    def to_fiftyone(self) -> Any:
        """As ``fiftyone.Detections`` with masks, names as labels, and scores as confidence; empty masks are left out.

        Raises:
            ImportError: FiftyOne is not installed.
        """
        from .fiftyone import to_detections

        return to_detections(self.to_annotations())


class Answered(Segments):
    """Result of ``click``: up to three masks of every object that was shown, the best one of each first.

    Names are those of the objects: ``object 1``, ``object 2`` and so on.
    """

    @property
    def names(self) -> list[str]:
        """Of the objects."""
        return [f'object {row["object"] + 1}' for row in self._rows]

    @property
    def labels(self) -> NDArray[np.int64]:
        """``[n]``: which object each mask is an answer for."""
        return np.array([row['object'] for row in self._rows], np.int64)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """``[H, W]``: the best answer for the first object."""
        best: NDArray[np.bool_] = self.masks[0]
        return best

    @property
    def best(self) -> NDArray[np.bool_]:
        """``[m, H, W]``: the best answer for every object."""
        first = [place for place, row in enumerate(self._rows) if row['answer'] == 0]
        best: NDArray[np.bool_] = self.masks[first]
        return best


class Captions(Result):
    """Result of ``caption``: texts, best first."""

    @property
    def texts(self) -> list[str]:
        """All of them, best first."""
        return [row['text'] for row in self.prediction['captions']]

    @property
    def text(self) -> str:
        """The best one."""
        return self.texts[0]

    @property
    def unseen(self) -> list[str]:
        """What the best one names although segmentation does not see it; of models that come with xdet."""
        return list(self.prediction['captions'][0].get('unseen', ()))

    @property
    def scores(self) -> NDArray[np.float64]:
        """Mean log-probability per token of each."""
        return np.array([row['score'] for row in self.prediction['captions']], np.float64)


class Descriptions(Result):
    """Result of ``describe``: a text for every region, in their order."""

    def __len__(self) -> int:
        return len(self.prediction['regions'])

    @property
    def texts(self) -> list[str]:
        """The best text of every region."""
        return [row['captions'][0]['text'] for row in self.prediction['regions']]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Mean log-probability per token of each."""
        return np.array([row['captions'][0]['score'] for row in self.prediction['regions']], np.float64)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """``[n, 4]`` of the regions: x1, y1, x2, y2 in pixels."""
        return np.array([row['box'] for row in self.prediction['regions']], np.float64).reshape(-1, 4)

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """``[n, H, W]`` of the regions."""
        return _masks(self.prediction['regions'], self.size)


class Answers(Result):
    """Result of ``ask``: one entry for every question, in their order."""

    def __len__(self) -> int:
        return len(self.prediction['answers'])

    @property
    def questions(self) -> list[str]:
        """The questions."""
        return [row['question'] for row in self.prediction['answers']]

    @property
    def answers(self) -> list[str]:
        """The best answer to each; empty where none reached the score that was asked for."""
        return [row['answers'][0]['answer'] if row['answers'] else '' for row in self.prediction['answers']]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Probability of each; 0 where there is none."""
        best = [row['answers'][0]['score'] if row['answers'] else 0.0 for row in self.prediction['answers']]
        return np.array(best, np.float64)


class Classes(Result):
    """Result of ``classify``: names, best first."""

    @property
    def names(self) -> list[str]:
        """The most probable names, best first."""
        return [row['name'] for row in self.prediction['top_classes']]

    @property
    def scores(self) -> NDArray[np.float64]:
        """Their probabilities."""
        return np.array([row['score'] for row in self.prediction['top_classes']], np.float64)


class Embedding(Result):
    """Result of ``embed``: what the image is compared with texts by."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """``[2, C]`` of unit length, of the decoder and of the backbone."""
        return np.asarray(self.prediction['embedding'], np.float32)


class Depth(Result):
    """Result of ``depth``: a map in metres."""

    @property
    def depth(self) -> NDArray[np.float32]:
        """``[H, W]``, metres from the camera."""
        return np.asarray(self.sample.pred_depth.depth, np.float32)[0]

    def save(self, path: str | Path) -> Path:
        """Write the map as float32 array (``.npy``), or what :meth:`Result.save` writes.

        Raises:
            OSError: It cannot be written.
            ValueError: It has another ending.
        """
        path = expand(path)
        if path.suffix.lower() != '.npy':
            return super().save(path)
        with replacing(path) as file:
            np.save(file, self.depth, allow_pickle=False)
        return path


RESULTS: dict[str, type[Result]] = dict(
    semantic=Segments,
    instance=Segments,
    panoptic=Segments,
    refseg=Segments,
    caption=Captions,
    refcaption=Descriptions,
    vqa=Answers,
    classification=Classes,
    retrieval=Embedding,
    interactive=Answered,
    depth=Depth,
)
"""Type of the result of each task; a task of another package has :class:`Result`."""


class Results(list[Any]):
    """Results of several images, in their order.

    Attributes:
        failed (list[dict]): ``index``, ``image`` and ``error`` of the images that gave none.
    """

    def __init__(self, results: Iterable[Result], failed: list[dict[str, Any]]) -> None:
        super().__init__(results)
        self.failed = failed


def _masks(rows: Iterable[dict[str, Any]], size: tuple[int, int]) -> NDArray[np.bool_]:
    masks = [decode_mask(row['segmentation']) for row in rows]
    return np.stack(masks) if masks else np.zeros((0, *size), bool)
