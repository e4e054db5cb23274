"""Turns predicted samples into what the inferencer returns, draws and writes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdet.inference.inputs.images import ImageSource
from xdet.io.reading import expand
from xdet.io.terminal import tell
from xdet.structures import XDetDataSample
from xdet.structures.known_words import far_line

from .annotations import AnnotationWriter
from .provenance import Origin, asked
from .ranking import Ranking
from .results import TASK_FORMATS
from .selection import Selection
from .shapes import add_shapes
from .typed import RESULTS, Result, Results, Segments
from .writer import ResultWriter

if TYPE_CHECKING:
    from xdet.inference.tiling.cutting import Tiles
    from xdet.inference.tiling.running import Tiled
    from xdet.visualization.local_visualizer import XDetLocalVisualizer

_LOGGER = logging.getLogger(__name__)


def annotation_writer(
    formats: Sequence[str], task: str, out_dir: str | Path, score_thr: float
) -> AnnotationWriter | None:
    """What writes results in the formats of other tools; None if nobody asked for it.

    Raises:
        FileExistsError: There is something already.
        ValueError: The task finds no masks, or there is no folder to write to.
    """
    if not formats:
        return None
    if RESULTS.get(task) is not Segments:
        known = ', '.join(name for name, kind in RESULTS.items() if kind is Segments)
        raise ValueError(f"formats are for tasks that find masks ({known}); task '{task}' finds none")
    if out_dir is None or str(out_dir) == '':
        raise ValueError('formats are written to out_dir, which is not given')
    return AnnotationWriter(formats, expand(out_dir), score_thr)


@dataclass(frozen=True)
class StreamItem:
    """What became of one image of a run.

    Attributes:
        index (int): Position of the image in the run.
        image (str): Its name: path or URL, or ``image_3`` for what has none.
        prediction (dict | XDetDataSample | None): The result as plain data (docs/inference.md), or the sample with
            ``return_datasamples``; None for an image that gave none.
        visualization (np.ndarray | None): RGB uint8 overlay, with ``return_vis``.
        error (str | None): Why there is no result, in one line.
        resumed (bool): It was finished by an earlier run and is read from its files.
        typed (Result | None): Typed result, where these are kept.
    """

    index: int
    image: str
    prediction: dict[str, Any] | XDetDataSample | None = None
    visualization: np.ndarray | None = None
    error: str | None = None
    resumed: bool = False
    typed: Result | None = None


@dataclass
class Report:
    """Makes the results of one run, image by image, in order; it keeps those that failed, and scores to rank.

    Args:
        task (str): Task of the run.
        visualizer (XDetLocalVisualizer): Draws the overlays.
        writer (ResultWriter, optional): Where files go; None writes nothing.
        pred_score_thr (float): Instances and phrases below are neither drawn nor printed; results hold all of them.
        return_vis (bool): Keep overlays.
        return_datasamples (bool): Keep samples instead of plain data.
        return_embeddings (bool): Keep the embeddings of images, where the task makes some.
        oriented_boxes, polygons (bool): Add these to every mask.
        save_vis (bool): Write overlays.
        save_pred (bool): Write JSON and maps.
        print_result (bool): Print a summary of every image.
        color_by (str): Whether ``'class'`` or ``'instance'`` decides about colours.
        selection (Selection): What is kept of results.
        origin (Origin, optional): What every result says about the model.
        annotations (AnnotationWriter, optional): Writes the formats of other tools.
        tiles (Tiles, optional): How images are cut.
        keep (bool): Make typed results.
    """

    task: str
    visualizer: XDetLocalVisualizer
    writer: ResultWriter | None = None
    pred_score_thr: float = 0.3
    return_vis: bool = False
    return_datasamples: bool = False
    return_embeddings: bool = False
    oriented_boxes: bool = False
    polygons: bool = False
    save_vis: bool = True
    save_pred: bool = True
    print_result: bool = False
    color_by: str = 'class'
    selection: Selection = field(default_factory=Selection)
    origin: Origin | None = None
    annotations: AnnotationWriter | None = None
    tiles: Tiles | None = None
    keep: bool = False
    failed: list[dict[str, Any]] = field(default_factory=list)
    rankings: list[dict[str, Any]] | None = None
    total: int = 0
    _ranking: Ranking | None = None

    def __post_init__(self) -> None:
        if TASK_FORMATS[self.task].ranks:
            self._ranking = Ranking(with_pictures=self._draws)

    @property
    def ranks(self) -> bool:
        """Whether the images of the run are compared with each other."""
        return self._ranking is not None

    @property
    def _draws(self) -> bool:
        return self.return_vis or (self.writer is not None and self.save_vis)

    def add(
        self, index: int, source: ImageSource, image: np.ndarray, sample: XDetDataSample, stamp: Any = None
    ) -> StreamItem:
        """Draw, write and print the result of one image.

        Args:
            index (int): Position of the image in the run.
            source (ImageSource): Where it came from.
            image (np.ndarray): BGR uint8 ``[H, W, 3]``.
            sample (XDetDataSample): With predictions, on the CPU.
            stamp (Any): For the journal, see :meth:`~.journal.Journal.begin`.

        Raises:
            OutputError: Results cannot be written.
        """
        self.select(sample)
        prediction = self.prediction(index, source, sample)
        picture = None
        if self._draws:
            picture = self.visualizer.draw(
                image[..., ::-1],
                sample,
                draw_gt=False,
                pred_score_thr=self.pred_score_thr,
                color_by=self.color_by,
            )
        if self.writer is not None:
            maps = TASK_FORMATS[self.task].maps(sample) if self.save_pred else {}
            written = picture if self.save_vis else None
            self.writer.write(index, prediction if self.save_pred else None, maps, written, stamp)
        if self.print_result:
            tell(source.name, *self.summary(prediction))
        self._count(index, prediction, image)
        kind = RESULTS.get(self.task, Result)
        return StreamItem(
            index,
            source.name,
            sample if self.return_datasamples else prediction,
            picture if self.return_vis else None,
            typed=kind(prediction, sample, source, self.visualizer, self.pred_score_thr, self.color_by)
            if self.keep
            else None,
        )

    def add_tiled(self, index: int, source: ImageSource, tiled: Tiled, stamp: Any = None) -> StreamItem:
        """Likewise of an image that was cut into tiles; it is drawn reduced."""
        found: dict[str, Any] = dict(segments=tiled.rows)
        least = tiled.small.prompts.thresholds.presence
        if tiled.presence is not None:
            found['presence'] = tiled.presence.tolist()
            if least is not None:
                names = zip(tiled.small.vocabulary.names, found['presence'], strict=True)
                found['absent'] = [name for name, there in names if there <= least]
        prediction = self.prediction(index, source, tiled.small, tiled.size, found)
        small = ImageSource(source.name, tiled.image)
        picture = None
        if self._draws:
            picture = self.visualizer.draw(
                tiled.image[..., ::-1],
                tiled.small,
                draw_gt=False,
                pred_score_thr=self.pred_score_thr,
                color_by=self.color_by,
            )
        if self.writer is not None:
            maps = {self.task: tiled.png()} if self.save_pred and tiled.map is not None else {}
            written = picture if self.save_vis else None
            self.writer.write(index, prediction if self.save_pred else None, maps, written, stamp)
        if self.print_result:
            tell(source.name, *self.summary(prediction))
        self._count(index, prediction, tiled.image)
        kind = RESULTS.get(self.task, Result)
        return StreamItem(
            index,
            source.name,
            prediction,
            picture if self.return_vis else None,
            typed=kind(prediction, tiled.small, small, self.visualizer, self.pred_score_thr) if self.keep else None,
        )

    def select(self, sample: XDetDataSample) -> None:
        """Leave out of a result what the selection does."""
        self.selection.apply(sample, TASK_FORMATS[self.task].field)

    def resume(self, index: int, source: ImageSource, image: np.ndarray, prediction: dict[str, Any]) -> StreamItem:
        """Take the result of an image that an earlier run finished."""
        self._count(index, prediction, image)
        return StreamItem(index, source.name, prediction, resumed=True)

    def fail(self, index: int, source: ImageSource, error: Exception) -> StreamItem:
        """Note that an image gave no result."""
        self.total += 1
        self.failed.append(dict(index=index, image=source.name, error=str(error)))
        if self.writer is not None and self.writer.journal is not None:
            self.writer.journal.fail(index, source.name, str(error))
        return StreamItem(index, source.name, error=str(error))

    def finish(self) -> None:
        """Log failures; rank the images, for tasks that do.

        Raises:
            OSError: Rankings or annotations cannot be written.
        """
        if self.annotations is not None:
            self.annotations.write()
        if self.failed:
            lines = [
                f'{len(self.failed)} of {self.total} images failed:',
                *(f'  {row["error"]}' for row in self.failed),
            ]
            _LOGGER.warning('\n'.join(lines))
        if self._ranking is None:
            return
        self.rankings = self._ranking.rankings()
        if self.writer is not None and self.rankings:
            sheets = self._ranking.sheets() if self.save_vis else []
            self.writer.write_rankings(self.rankings if self.save_pred else None, sheets)
        if self.print_result and self.rankings:
            tell(*self._ranking.summary())

    def result(self, items: Iterable[StreamItem]) -> dict[str, list]:
        """What the inferencer returns for all images of a run that is finished."""
        items = list(items)
        return dict(
            predictions=[item.prediction for item in items if item.prediction is not None],
            visualization=[item.visualization for item in items if item.visualization is not None],
            failed=self.failed,
            **({} if self.rankings is None else dict(rankings=self.rankings)),
        )

    def typed(self, items: Iterable[StreamItem]) -> Results:
        """Likewise, typed."""
        return Results((item.typed for item in items if item.typed is not None), self.failed)

    def summary(self, prediction: dict[str, Any]) -> list[str]:
        """Lines that tell a person what was found in one image."""
        lines = TASK_FORMATS[self.task].summary(prediction, self.pred_score_thr)
        if far := prediction.get('unknown_prompts'):
            lines = [*lines, far_line(entry['prompt'] for entry in far)]
        return [f'  {line}' for line in lines]

    def _count(self, index: int, prediction: dict[str, Any], image: np.ndarray) -> None:
        self.total += 1
        if self.annotations is not None:
            self.annotations.add(index, prediction)
        if self._ranking is not None:
            self._ranking.add(prediction, image[..., ::-1])

    def prediction(
        self,
        index: int,
        source: ImageSource,
        sample: XDetDataSample,
        size: tuple[int, int] | None = None,
        found: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The result of an image as plain data; ``size`` and ``found`` where the sample does not hold them."""
        height, width = (int(side) for side in size or sample.ori_shape[:2])
        prediction = dict(index=index, image=source.name, task=self.task, height=height, width=width)
        if 'vocabulary' in sample and 'classes' in TASK_FORMATS[self.task].prompts:
            prediction['classes'] = list(sample.vocabulary.names)
        prediction.update(TASK_FORMATS[self.task].results(sample) if found is None else found)
        if self.oriented_boxes or self.polygons:
            for key in ('segments', 'regions', 'poses'):
                rows: Any = prediction.get(key, ())
                add_shapes(rows, self.oriented_boxes, self.polygons)
        if sample.prompts.far:
            prediction['unknown_prompts'] = [
                dict(prompt=prompt, words=list(words)) for prompt, words in sample.prompts.far.items()
            ]
        if self.origin is not None:
            prediction['provenance'] = dict(
                **self.origin.describe(), task=self.task, settings=self._settings(), prompts=asked(sample.prompts)
            )
        if self.return_embeddings and 'pred_embedding' in sample:
            prediction['embedding'] = sample.pred_embedding.tolist()
        return prediction

    def _settings(self) -> dict[str, Any]:
        """What decides about what is reported and shown."""
        chosen = {name: getattr(self.selection, name) for name in self.selection.given}
        if self.tiles is not None:
            chosen['tiles'] = [self.tiles.size, self.tiles.overlap]
        return dict(pred_score_thr=self.pred_score_thr, **chosen)
