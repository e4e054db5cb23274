"""A run of a task over many images: reading, predicting and reporting them, one stage ahead of the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dataset import Compose

from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.inputs.images import ImageSource
from xdet.inference.inputs.regions import RegionError
from xdet.inference.outputs.reporting import Report, StreamItem
from xdet.io.terminal import progress
from xdet.structures import TextPrompts, XDetDataSample

from .pipeline import collate, is_out_of_memory, prepare
from .streaming import staged
from .tiling.cutting import Tiles
from .tiling.running import Tiled, run_tiles
from .tiling.windows import open_windows

if TYPE_CHECKING:
    from xdet.models import XDecoder


@dataclass
class Entry:
    """An image on its way through a run.

    Attributes:
        index (int): Its position.
        source (ImageSource): Where it comes from.
        request (TextPrompts): What is asked of it.
        stamp (list[int] | None): What changes with it.
        image (np.ndarray): BGR uint8 ``[H, W, 3]``, once it is read.
        data (dict | None): What the model takes, until it is predicted.
        sample (XDetDataSample): What the model predicted, on the CPU.
        tiled (Tiled | None): What was joined of its tiles.
        error (Exception | None): Why there is no result.
        finished (dict | None): The result that an earlier run has written.
    """

    index: int
    source: ImageSource
    request: TextPrompts
    stamp: list[int] | None = None
    image: Any = None
    data: Any = None
    sample: Any = None
    tiled: Tiled | None = None
    error: Exception | None = None
    finished: dict[str, Any] | None = None


@dataclass
class Run:
    """A task on many images: read, predicted and reported in order, three stages at once.

    Attributes:
        model (XDecoder): In evaluation mode.
        pipeline (Compose): What makes its input of an image.
        device (torch.device): Where it is, for messages.
        sources (Iterable[ImageSource]): The images, read once and in order.
        requests (list[TextPrompts]): What is asked of each, or one for all.
        report (Report): Takes the results.
        batch_size (int): Images per forward pass.
        total (int | None): Number of images, where it is known.
        is_collection (bool): A collection goes on past images that cannot be read.
        show_progress (bool): Show a progress bar.
    """

    model: XDecoder
    pipeline: Compose
    device: torch.device
    sources: Iterable[ImageSource]
    requests: list[TextPrompts]
    report: Report
    batch_size: int
    total: int | None
    is_collection: bool
    show_progress: bool

    def stream(self) -> Iterator[StreamItem]:
        """Results, one by one and in order; see :meth:`~xdet.inference.inferencer.XDecoderInferencer.stream`."""
        report = self.report
        try:
            with closing(
                staged(
                    self._batches(),
                    lambda batch: [self._read(entry) for entry in batch],
                    self._predict,
                    lambda batch: [_report(report, entry) for entry in batch],
                )
            ) as batches:
                hidden = not self.show_progress or self.total == 1
                yield from progress(chain.from_iterable(batches), 'Inference', self.total, hidden)
            report.finish()
        finally:
            if report.writer is not None and report.writer.journal is not None:
                report.writer.journal.close()

    def _batches(self) -> Iterator[list[Entry]]:
        """The images that are to be read next; their files are named in their order."""
        requests = self.requests if len(self.requests) > 1 else repeat(self.requests[0])
        entries = (Entry(index, *pair) for index, pair in enumerate(zip(self.sources, requests, strict=False)))
        while batch := list(islice(entries, self.batch_size)):
            if self.report.writer is not None:
                for entry in batch:
                    self.report.writer.name(entry.source.name)
            yield batch

    def _read(self, entry: Entry) -> Entry:
        """Read and resize an image, unless an earlier run finished it."""
        journal = None if self.report.writer is None else self.report.writer.journal
        source = entry.source
        try:
            if journal is not None:
                entry.stamp = source.stamp()
                entry.finished = journal.finished(entry.index, source.name, entry.stamp)
            if self.report.tiles is not None or (entry.finished is not None and not self.report.ranks):
                return entry  # tiles are read when their turn comes
            entry.image = source.read()
            if entry.finished is None:
                data = prepare(self.pipeline, entry.image, source.name, entry.index)
                entry.request.apply(data['data_samples'], source.name)
                entry.data = data
        except (ImageReadError, RegionError) as error:
            if not self.is_collection:
                raise
            entry.error = error
        return entry

    def _predict(self, batch: list[Entry]) -> list[Entry]:
        """One forward pass; a batch that does not fit into memory is tried again image by image."""
        if self.report.tiles is not None:
            for entry in batch:
                if entry.error is None and entry.finished is None:
                    self._predict_tiles(entry, self.report.tiles)
            return batch
        ready = [entry for entry in batch if entry.data is not None]
        try:
            samples = self.model.test_step(collate([entry.data for entry in ready])) if ready else []
            for entry, sample in zip(ready, samples, strict=True):
                entry.sample, entry.data = sample.cpu(), None
            return batch
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if len(ready) > 1:
            for entry in ready:
                self._predict([entry])
            return batch
        (entry,) = ready
        height, width = entry.data['inputs'].shape[-2:]
        reason = (
            f'needs more memory than {self.device} has free at a network size of {height}x{width} pixels; '
            'use a smaller image or fewer prompts'
        )
        entry.data, entry.error = None, ImageReadError(entry.source.name, reason)
        if not self.is_collection:
            raise entry.error
        return batch

    def _predict_tiles(self, entry: Entry, tiles: Tiles) -> None:
        """One image, tile by tile."""
        report = self.report

        def predict(pixels: np.ndarray) -> XDetDataSample:
            data = prepare(self.pipeline, pixels, entry.source.name, entry.index)
            entry.request.apply(data['data_samples'], entry.source.name)
            (sample,) = self.model.test_step(collate([data]))
            sample = sample.cpu()
            report.select(sample)
            return sample

        try:
            with open_windows(entry.source) as windows:
                entry.tiled = run_tiles(windows, tiles, report.task, entry.request, predict, report.pred_score_thr)
        except (ImageReadError, MemoryError, RuntimeError) as error:
            if not isinstance(error, ImageReadError) and not is_out_of_memory(error):
                raise
            if not isinstance(error, ImageReadError):
                reason = f'needs more memory than there is in tiles of {tiles.size} pixels; use smaller ones'
                error = ImageReadError(entry.source.name, reason)
            if not self.is_collection:
                raise error from None
            entry.error = error


def _report(report: Report, entry: Entry) -> StreamItem:
    """Draw, write and print what became of an image."""
    if entry.error is not None:
        return report.fail(entry.index, entry.source, entry.error)
    if entry.finished is not None:
        return report.resume(entry.index, entry.source, entry.image, entry.finished)
    if entry.tiled is not None:
        return report.add_tiled(entry.index, entry.source, entry.tiled, entry.stamp)
    return report.add(entry.index, entry.source, entry.image, entry.sample, entry.stamp)
