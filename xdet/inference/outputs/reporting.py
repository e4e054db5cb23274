"""Turns predicted samples into what the inferencer returns, draws and writes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xdet.inference.inputs.images import ImageSource
from xdet.structures import XDetDataSample
from xdet.structures.known_words import far_line

from .provenance import Origin, asked
from .ranking import Ranking
from .results import TASK_FORMATS
from .selection import Selection
from .typed import RESULTS, Result, Results
from .writer import ResultWriter

if TYPE_CHECKING:
    from xdet.visualization.local_visualizer import XDetLocalVisualizer

_LOGGER = logging.getLogger(__name__)


@dataclass
class Report:
    """Results of one run, image by image.

    Args:
        task (str): Task of the run.
        visualizer (XDetLocalVisualizer): Draws the overlays.
        writer (ResultWriter, optional): Where files go; None writes nothing.
        pred_score_thr (float): Instances and phrases below are neither drawn nor printed; results hold all of them.
        return_vis (bool): Keep overlays.
        return_datasamples (bool): Keep samples instead of plain data.
        return_embeddings (bool): Keep the embeddings of images, where the task makes some.
        save_vis (bool): Write overlays.
        save_pred (bool): Write JSON and maps.
        print_result (bool): Print a summary of every image.
        color_by (str): Whether ``'class'`` or ``'instance'`` decides about colours.
        selection (Selection): Which instances count.
        origin (Origin, optional): What every result says about the model.
        keep (bool): Keep typed results, for :meth:`typed`.
    """

    task: str
    visualizer: XDetLocalVisualizer
    writer: ResultWriter | None = None
    pred_score_thr: float = 0.3
    return_vis: bool = False
    return_datasamples: bool = False
    return_embeddings: bool = False
    save_vis: bool = True
    save_pred: bool = True
    print_result: bool = False
    color_by: str = 'class'
    selection: Selection = field(default_factory=Selection)
    origin: Origin | None = None
    keep: bool = False
    _typed: dict[int, Result] = field(default_factory=dict)
    _predictions: dict[int, dict[str, Any] | XDetDataSample] = field(default_factory=dict)
    _pictures: dict[int, np.ndarray] = field(default_factory=dict)
    _failed: dict[int, dict[str, Any]] = field(default_factory=dict)
    _ranking: Ranking | None = None

    def __post_init__(self) -> None:
        if TASK_FORMATS[self.task].ranks:
            self._ranking = Ranking(with_pictures=self._draws)

    @property
    def _draws(self) -> bool:
        return self.return_vis or (self.writer is not None and self.save_vis)

    def add(self, index: int, source: ImageSource, image: np.ndarray, sample: XDetDataSample) -> None:
        """Take the result of one image.

        Args:
            index (int): Position of the image in the run.
            source (ImageSource): Where it came from.
            image (np.ndarray): BGR uint8 ``[H, W, 3]``.
            sample (XDetDataSample): With predictions.

        Raises:
            OutputError: Results cannot be written.
        """
        sample = sample.cpu()
        if self.selection:
            sample.pred_instances = self.selection.apply(sample.pred_instances)
        prediction = self._prediction(index, source, sample)
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
            self.writer.write(index, prediction if self.save_pred else None, maps, picture if self.save_vis else None)
        if self.print_result:
            print('\n'.join([source.name, *self.summary(prediction)]))
        self._predictions[index] = sample if self.return_datasamples else prediction
        if self.keep:
            kind = RESULTS.get(self.task, Result)
            self._typed[index] = kind(prediction, sample, source, self.visualizer, self.pred_score_thr)
        if picture is not None and self.return_vis:
            self._pictures[index] = picture
        if self._ranking is not None:
            self._ranking.add(prediction, image[..., ::-1])

    def fail(self, index: int, source: ImageSource, error: Exception) -> None:
        """Note that an image gave no result."""
        self._failed[index] = dict(index=index, image=source.name, error=str(error))

    def typed(self) -> Results:
        """Typed results in the order of the images. Failures are also logged."""
        return Results((self._typed[index] for index in sorted(self._typed)), self.result()['failed'])

    def result(self) -> dict[str, list]:
        """What the inferencer returns; results are in the order of the images. Failures are also logged.

        Raises:
            OutputError: Rankings cannot be written.
        """
        failed = [self._failed[index] for index in sorted(self._failed)]
        if failed:
            total = len(failed) + len(self._predictions)
            lines = [f'{len(failed)} of {total} images failed:', *(f'  {entry["error"]}' for entry in failed)]
            _LOGGER.warning('\n'.join(lines))
        return dict(
            predictions=[self._predictions[index] for index in sorted(self._predictions)],
            visualization=[self._pictures[index] for index in sorted(self._pictures)],
            failed=failed,
            **self._rankings(),
        )

    def summary(self, prediction: dict[str, Any]) -> list[str]:
        """Lines that tell a person what was found in one image."""
        lines = TASK_FORMATS[self.task].summary(prediction, self.pred_score_thr)
        if far := prediction.get('unknown_prompts'):
            lines = [*lines, far_line(entry['prompt'] for entry in far)]
        return [f'  {line}' for line in lines]

    def _rankings(self) -> dict[str, list]:
        """Rankings of the images, for tasks that rank; also written and printed."""
        if self._ranking is None:
            return {}
        rankings = self._ranking.rankings()
        if self.writer is not None and rankings:
            sheets = self._ranking.sheets() if self.save_vis else []
            self.writer.write_rankings(rankings if self.save_pred else None, sheets)
        if self.print_result and rankings:
            print('\n'.join(self._ranking.summary()))
        return dict(rankings=rankings)

    def _prediction(self, index: int, source: ImageSource, sample: XDetDataSample) -> dict[str, Any]:
        height, width = (int(side) for side in sample.ori_shape[:2])
        prediction = dict(index=index, image=source.name, task=self.task, height=height, width=width)
        if 'vocabulary' in sample:
            prediction['classes'] = list(sample.vocabulary.names)
        prediction.update(TASK_FORMATS[self.task].results(sample))
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
        chosen = {name: value for name, value in vars(self.selection).items() if value is not None}
        return dict(pred_score_thr=self.pred_score_thr, **chosen)
