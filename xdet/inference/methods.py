"""A method for every task, with its own few arguments and a typed result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xdet.inference.inputs.images import ImageInput
from xdet.inference.inputs.prompts import read_texts
from xdet.inference.outputs.typed import Descriptions, Result, Segments
from xdet.io.schema import shown
from xdet.structures import Vocabulary

if TYPE_CHECKING:
    from typing import TypeAlias

    from xdet.inference.loaded import EncodedImage

    Images: TypeAlias = ImageInput | EncodedImage | Sequence[ImageInput]
    Score: TypeAlias = float | Mapping[str, float] | None


class TaskMethods(ABC):
    """The tasks of :class:`~xdet.inference.inferencer.XDecoderInferencer` as methods.

    Every method takes one image (path, URL, BGR array, Pillow image, or what ``set_image`` returned) and returns its
    result, or several (a list, a folder, a pattern) and returns a list of results, whose ``failed`` names the images
    that gave none. Names and texts are lists; a single text stands for itself. A text that may be one or several, such
    as ``'a cat. a dog.'``, is an error that names both readings.

    Examples:
        >>> model = XDecoderInferencer('photos')
        >>> found = model.segment('demo/photos/chelsea.jpg', ['cat', 'sofa'])
        >>> found.names, found.masks.shape, found.presence['sofa']
        >>> model.refer('street.jpg', 'the left dog').save('dog.png')
    """

    @abstractmethod
    def results(self, images: Images, task: str, batch_size: int = 1, **options: Any) -> Any:
        """One typed result, or several: what the other methods call. Options are those of the general call."""

    def segment(
        self,
        images: Images,
        names: str | Sequence[str] | Vocabulary | None = None,
        stuff: str | Sequence[str] | None = None,
        kind: Literal['panoptic', 'instance', 'semantic'] = 'panoptic',
        background: str | Sequence[str] | None = None,
        score: Score = None,
        mask: float | None = None,
        overlap: float | None = None,
        presence: float | None = None,
        batch_size: int = 1,
    ) -> Any:
        """Segment by class names.

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class.
            names (str | Sequence[str] | Vocabulary, optional): Countable classes; None are the model's own.
            stuff (str | Sequence[str], optional): Uncountable classes.
            kind (str): ``'panoptic'`` (no overlaps), ``'instance'`` (may overlap) or ``'semantic'`` (one per class).
            background (str | Sequence[str], optional): Names that compete with the others and are not reported.
            score (float | Mapping[str, float], optional): Least score, of all or by name.
            mask (float, optional): Least probability of the pixels of a mask; not for ``'semantic'``.
            overlap (float, optional): Panoptic: least share of its own mask that a segment keeps.
            presence (float, optional): Names whose presence is not above this are not there; None is what calibration
                found, if there was one.
            batch_size (int): Images per forward pass.

        Returns:
            Segments | list[Segments]: See the class.
        """
        if kind not in ('panoptic', 'instance', 'semantic'):
            raise ValueError(f"kind is {shown(kind)}; accepted are 'panoptic', 'instance' and 'semantic'")
        prompts: dict[str, Any] = {}
        if isinstance(names, Vocabulary):
            prompts['vocabulary'] = names
        elif names is not None:
            prompts['classes' if stuff is None else 'things'] = read_texts('names', names, ',.;')
        if stuff is not None:
            prompts['stuff'] = read_texts('stuff', stuff, ',.;')
        if background is not None:
            prompts['background'] = read_texts('background', background, ',.;')
        limits = dict(score=score, mask=mask, overlap=overlap, presence=presence)
        return self.results(images, kind, batch_size, **prompts, **limits)

    def refer(
        self,
        images: Images,
        phrases: str | Sequence[str],
        score: Score = None,
        mask: float | None = None,
        presence: float | None = None,
        batch_size: int = 1,
    ) -> Any:
        """Find what phrases mean, one mask each.

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class.
            phrases (str | Sequence[str]): ``'the left dog'``, or a list.
            score (float | Mapping[str, float], optional): Least score of a mask, of all or by phrase.
            mask (float, optional): Least probability of the pixels of a mask.
            presence (float, optional): Phrases whose presence is not above this are not there; None is what
                calibration found, if there was one.
            batch_size (int): Images per forward pass.

        Returns:
            Segments | list[Segments]: One entry per phrase, in order; an empty mask where there is nothing.
        """
        texts = read_texts('phrases', phrases)
        return self.results(images, 'refseg', batch_size, phrases=texts, score=score, mask=mask, presence=presence)

    def click(
        self,
        images: Images,
        points: Any = None,
        labels: Sequence[int] | None = None,
        boxes: Any = None,
        masks: Any = None,
        mask: float | None = None,
        batch_size: int = 1,
    ) -> Any:
        """Cut out what is clicked, boxed or roughly drawn.

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class. With what ``set_image`` returned, further
                clicks are cheap.
            points (Any, optional): ``[[x, y], ...]`` in pixels, clicks on one object.
            labels (Sequence[int], optional): Of each point, 1 if it is on the object and 0 if not; None are ones.
                Points may also be ``[x, y, label]``.
            boxes (Any, optional): ``[[x1, y1, x2, y2], ...]`` in pixels, each around an object; with points only one.
            masks (Any, optional): Rough masks or scribbles, each of an object: bool ``[n, H, W]``, or paths of files.
            mask (float, optional): Least probability of the pixels of a mask.
            batch_size (int): Images per forward pass.

        Returns:
            Answered | list[Answered]: Up to three masks per object, best first.

        Raises:
            RegionError: A point lies outside of the image, or is on the object and not; or a region is empty.
            ValueError: Nothing is shown, or labels are not as many as points.
        """
        if labels is not None:
            points = _labelled(points, labels)
        prompts = dict(points=points, boxes=boxes, masks=masks, mask=mask)
        return self.results(images, 'interactive', batch_size, **prompts)

    def caption(
        self,
        images: Images,
        num_texts: int | None = None,
        num_beams: int | None = None,
        max_tokens: int | None = None,
        batch_size: int = 1,
    ) -> Any:
        """Describe whole images.

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class.
            num_texts (int, optional): Texts per image, 1.
            num_beams (int, optional): Beams of the search; 1, greedy.
            max_tokens (int, optional): Longest text, 50.
            batch_size (int): Images per forward pass.

        Returns:
            Captions | list[Captions]: See the class.
        """
        settings = dict(num_texts=num_texts, num_beams=num_beams, max_tokens=max_tokens)
        return self.results(images, 'caption', batch_size, **settings)

    def describe(
        self,
        images: Images,
        regions: Any,
        num_beams: int | None = None,
        max_tokens: int | None = None,
        batch_size: int = 1,
    ) -> Any:
        """Describe regions of images.

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class.
            regions (Any): Boxes ``[[x1, y1, x2, y2], ...]`` in pixels, masks (bool ``[n, H, W]``, or paths of mask
                files), a result with masks of the same image, or phrases, whose regions are found first.
            num_beams (int, optional): Beams of the search; 1, greedy.
            max_tokens (int, optional): Longest text, 50.
            batch_size (int): Images per forward pass.

        Returns:
            Descriptions | list[Descriptions]: One text per region, in order.
        """
        settings = dict(num_beams=num_beams, max_tokens=max_tokens)
        return self.results(images, 'refcaption', batch_size, **_regions(regions), **settings)

    def ask(
        self, images: Images, questions: str | Sequence[str], score: float | None = None, batch_size: int = 1
    ) -> Any:
        """Answer questions.

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class.
            questions (str | Sequence[str]): One, or a list.
            score (float, optional): Least probability of an answer.
            batch_size (int): Images per forward pass.

        Returns:
            Answers | list[Answers]: One answer per question, in order.
        """
        texts = read_texts('questions', questions, '?')
        return self.results(images, 'vqa', batch_size, questions=texts, score=score)

    def classify(
        self,
        images: Images,
        names: str | Sequence[str] | Vocabulary | None = None,
        background: str | Sequence[str] | None = None,
        score: Score = None,
        batch_size: int = 1,
    ) -> Any:
        """Say what whole images show.

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class.
            names (str | Sequence[str] | Vocabulary, optional): The choice; None are the model's own.
            background (str | Sequence[str], optional): Names that compete with the others and are not reported.
            score (float | Mapping[str, float], optional): Least probability, of all or by name.
            batch_size (int): Images per forward pass.

        Returns:
            Classes | list[Classes]: The best names, best first.
        """
        prompts: dict[str, Any] = {}
        if names is not None:
            known = isinstance(names, Vocabulary)
            prompts['vocabulary' if known else 'classes'] = names if known else read_texts('names', names, ',.;')
        if background is not None:
            prompts['background'] = read_texts('background', background, ',.;')
        return self.results(images, 'classification', batch_size, **prompts, score=score)

    def embed(self, images: Images, batch_size: int = 1) -> Any:
        """Vectors to compare images with texts, and with each other.

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class.
            batch_size (int): Images per forward pass.

        Returns:
            Embedding | list[Embedding]: See the class.
        """
        return self.results(images, 'retrieval', batch_size, return_embeddings=True)

    def depth(self, images: Images, batch_size: int = 1) -> Any:
        """How far away every pixel is; for models with a task for it (docs/depth.md).

        Args:
            images (ImageInput | EncodedImage | Sequence): See the class.
            batch_size (int): Images per forward pass.

        Returns:
            Depth | list[Depth]: Maps in metres.
        """
        return self.results(images, 'depth', batch_size)


def _labelled(points: Any, labels: Sequence[int]) -> list[list[Any]]:
    """Points ``[x, y, label]``.

    Raises:
        ValueError: There are not as many labels as points, or points have labels already.
    """
    rows = [list(point) if hasattr(point, '__len__') else [point] for point in (() if points is None else points)]
    if len(rows) != len(labels) or any(len(row) != 2 for row in rows):
        raise ValueError(f'labels has {len(labels)} entries for {len(rows)} points; accepted is one per point [x, y]')
    return [[*row, label] for row, label in zip(rows, labels, strict=True)]


def _regions(regions: Any) -> dict[str, Any]:
    """The prompt that regions are.

    Raises:
        ValueError: They are none of what is accepted.
    """
    if isinstance(regions, (Segments, Descriptions)):
        return dict(masks=regions.masks)
    if isinstance(regions, Path):
        return dict(masks=[regions])
    if isinstance(regions, str):
        return dict(phrases=read_texts('regions', regions))
    if isinstance(regions, Sequence) and regions and all(isinstance(region, str) for region in regions):
        return dict(phrases=list(regions))
    if isinstance(regions, Sequence) and regions and all(isinstance(region, Path) for region in regions):
        return dict(masks=list(regions))
    if isinstance(regions, Result) or not hasattr(regions, '__len__'):
        accepted = 'boxes [x1, y1, x2, y2], masks [n, H, W], paths of mask files, phrases, and results with masks'
        raise ValueError(f'regions is a {type(regions).__name__}; accepted are {accepted}')
    array = np.asarray(regions) if not hasattr(regions, 'detach') else regions
    is_mask = array.ndim == 3 or str(array.dtype).endswith('bool')
    return dict(masks=regions) if is_mask else dict(boxes=regions)
