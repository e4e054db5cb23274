"""Films through a model: every frame as an image of its own, and its segments as what they were before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xdet import model_zoo
from xdet.datasets.files.image_io import IMAGE_SUFFIXES, as_bgr, read_image
from xdet.inference.asking import AskedModel
from xdet.inference.inputs.images import ImageSource
from xdet.inference.inputs.options import split_options
from xdet.inference.inputs.requests import make_requests
from xdet.inference.outputs.reporting import Report
from xdet.inference.outputs.typed import Segments
from xdet.io.schema import number, shown
from xdet.structures import TextPrompts
from xdet.video.reading import Film, FilmSource, open_film
from xdet.video.tracking import Tracker, TrackingOptions

if TYPE_CHECKING:
    from xdet.inference.loaded import EncodedImage
    from xdet.models.context import LatentPass

FILM_TASKS = ('panoptic', 'instance', 'refseg')
"""Tasks whose results have objects that can be followed."""

_THING_LEAST = 0.3
"""Instances below are not followed, unless the user says how sure they must be."""


class FilmFrame(Segments):
    """What was found in a frame; everything of :class:`Segments`, with identities.

    ``plot`` gives every track a colour of its own that stays the same through the film.
    """

    @property
    def frame(self) -> int:
        """Number of the frame in the film, from 0."""
        return int(self.prediction['frame'])

    @property
    def time(self) -> float:
        """When it is shown, in seconds."""
        return float(self.prediction['time'])

    @property
    def tracks(self) -> NDArray[np.int64]:
        """``[n]``: identity of every segment, from 1; 0 for phrases that were not found."""
        return np.array([row['track'] or 0 for row in self._rows], np.int64)

    def plot(self, texts: bool = True) -> NDArray[np.uint8]:
        """The frame with its tracks, RGB uint8, with even sides."""
        from xdet.visualization.tracks import draw_tracks

        rows = [row for row in self._rows if row['track'] is not None]
        masks = [mask for mask, row in zip(self.masks, self._rows, strict=True) if row['track'] is not None]
        names = [row['name'] if 'name' in row else row['phrase'] for row in rows]
        numbers = [row['track'] if row.get('is_thing', True) else None for row in rows]
        return draw_tracks(self._source.read()[..., ::-1], masks, names, numbers)


@dataclass(frozen=True)
class FilmRun:
    """A film that was opened and whose request was checked.

    Attributes:
        film (Film): The frames.
        results (Iterator[FilmFrame]): One per frame, made when it is asked for.
        every (int): Every how many frames one is looked at.
    """

    film: Film
    results: Iterator[FilmFrame]
    every: int = 1

    @property
    def fps(self) -> float:
        """Of the results."""
        return self.film.fps / self.every


class FilmMethods(AskedModel):
    """Films, as methods of :class:`~xdet.inference.inferencer.XDecoderInferencer`."""

    def video(
        self,
        frames: FilmSource,
        task: str = 'panoptic',
        every: int = 1,
        memory: int = 60,
        fps: float | None = None,
        **options: Any,
    ) -> Iterator[FilmFrame]:
        """Segment a film and follow what it shows, frame by frame; memory does not grow with its length.

        Args:
            frames (FilmSource): Path of a film, folder of images in the order of their names, number of a camera, or
                any iterable of BGR uint8 arrays ``[H, W, 3]``.
            task (str): ``'panoptic'``, ``'instance'`` or ``'refseg'`` (phrases).
            every (int): Look at every so many frames only.
            memory (int): For how many frames (of those looked at) a lost object is remembered.
            fps (float, optional): Frames per second; None is what the film says.
            **options: Prompts and thresholds of the general call: ``things``, ``phrases``, ``score`` and so on.

        Returns:
            Iterator[FilmFrame]: A result per frame, made when it is asked for.

        Raises:
            FilmError: There is no such film, it has no frames, or frames of several sizes.
            ValueError: As in the general call.
        """
        return self.open_film(frames, task, every, memory, fps, **options).results

    def open_film(
        self,
        source: FilmSource,
        task: str = 'panoptic',
        every: int = 1,
        memory: int = 60,
        fps: float | None = None,
        **options: Any,
    ) -> FilmRun:
        """Check a request and open its film; arguments and errors are those of :meth:`video`."""
        every, memory, fps, given = _checked(task, every, memory, fps, options)
        if given.get('tiles') is not None:
            raise ValueError('films do not take tiles; save their frames as images')
        film = open_film(source, read_image, as_bgr, IMAGE_SUFFIXES)
        try:
            requests, report = self._prepare(task, 1, '', given)
        except BaseException:
            film.close()
            raise
        film.fps = fps or film.fps
        results = _results(self, film, requests[0], report, every, Tracker(TrackingOptions(memory=memory)))
        return FilmRun(film, results, every)


def check_film(
    source: FilmSource, task: str, every: int = 1, memory: int = 60, fps: float | None = None, **options: Any
) -> None:
    """Check without any model what can be: for programs that would otherwise first build one for seconds.

    Raises:
        As :meth:`FilmMethods.video`.
    """
    _, _, _, given = _checked(task, every, memory, fps, options)
    prompts, generation, _ = split_options(given)
    make_requests(task, prompts, generation, 1, model_zoo.EMBEDDED[model_zoo.DEFAULT_MODEL].vocabulary)
    open_film(source, read_image, as_bgr, IMAGE_SUFFIXES).close()


def _checked(
    task: str, every: int, memory: int, fps: float | None, options: Mapping[str, Any]
) -> tuple[int, int, float | None, dict[str, Any]]:
    if task not in FILM_TASKS:
        raise ValueError(f'task is {shown(task)}; films take {", ".join(FILM_TASKS)}')
    every, memory = number('every', every, int, 1), number('memory', memory, int, 0)
    if fps is not None:
        fps = number('fps', fps, float, 0.01, 1000)
    given = dict(options)
    if task == 'instance' and given.get('score') is None:
        given.update(score=_THING_LEAST, nms_iou=given.get('nms_iou') or 0.6)
    return every, memory, fps, given


def _results(
    model: AskedModel, film: Film, request: TextPrompts, report: Report, every: int, tracker: Tracker
) -> Iterator[FilmFrame]:
    before: NDArray[np.uint8] | None = None
    encoded: EncodedImage | None = None
    sample = None
    for index, pixels in enumerate(film):
        if index % every:
            continue
        source = ImageSource(f'{film.name}#{index}', pixels)
        if encoded is None or sample is None or before is None or not np.array_equal(before, pixels):
            encoded = model.encode_image(source, report.task, request.views)
            sample = encoded.sample.clone()
            request.apply(sample, source.name)
            sample = sample.to(model.device)
            model.model.predict_features(encoded.features, [sample], encoded.latent_pass)
            sample = sample.cpu()
            report.select(sample)
        before = pixels
        prediction = report.prediction(index, source, sample)
        prediction.update(frame=index, time=round(index / film.fps, 4))
        found = FilmFrame(prediction, sample, source, report.visualizer, report.pred_score_thr)
        rows = prediction['segments']
        labels, is_thing = found.labels.tolist(), [row.get('is_thing', True) for row in rows]
        scores = np.nan_to_num(found.scores, nan=1.0).tolist()
        tracks = tracker.update(labels, is_thing, found.masks, _looks(encoded.latent_pass, found), scores)
        for row, track in zip(rows, tracks, strict=True):
            row['track'] = track
            if track in tracker.tracks and 'name' in row:
                label = tracker.tracks[track].label
                if label != row['label']:
                    row.update(seen_as=row['name'], label=label, name=prediction['classes'][label])
        yield found


@torch.no_grad()
def _looks(latent_pass: LatentPass, found: Segments) -> list[NDArray[np.float32]]:
    """What segments look like: embeddings ``[n, C]`` that are compared by cosine.

    The class and the mask embedding of the query that fits the segment best (it may have come from any task, so that is
    the one whose mask has the greatest IoU with it), and the backbone's features of stride 8, averaged over its pixels.
    """
    masks, features = found.masks, latent_pass.features
    layer = latent_pass.outputs.last
    class_embed, mask_embed = layer.class_embed[0], layer.mask_embed[0]
    own = ((mask_embed @ features.mask_features[0].flatten(1)) > 0).float()
    wanted = _share(masks, found.sample.img_shape[:2], features.mask_features.shape[-2:], 4).to(own.device)
    shared = wanted @ own.T
    fit = shared / (wanted.sum(1)[:, None] + own.sum(1)[None] - shared).clamp(min=1e-6)
    best = fit.argmax(dim=1)
    surface = features.backbone[1][0].flatten(1)
    covered = _share(masks, found.sample.img_shape[:2], features.backbone[1].shape[-2:], 8).to(surface.device)
    pooled = covered.to(surface.dtype) @ surface.T / covered.sum(1, keepdim=True).clamp(min=1e-6).to(surface.dtype)
    return [embed.float().cpu().numpy() for embed in (class_embed[best], mask_embed[best], pooled)]


def _share(masks: NDArray[np.bool_], img_shape: tuple[int, int], size: Sequence[int], stride: int) -> Tensor:
    """Share ``[n, h * w]`` of each cell of a feature map that masks of the original size cover."""
    small = np.zeros((len(masks), *size), np.float32)
    rows, columns = (max(1, -(-side // stride)) for side in img_shape)
    for place, mask in enumerate(masks):
        small[place, :rows, :columns] = cv2.resize(
            mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA
        )
    return torch.from_numpy(small).flatten(1)
