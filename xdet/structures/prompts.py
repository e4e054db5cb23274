"""What is asked of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from .thresholds import Thresholds
from .views import Views
from .vocabulary import Vocabulary

if TYPE_CHECKING:  # exported models run without torch
    from torch import Tensor

    from .data_sample import XDetDataSample


class Shapes(Protocol):
    """Regions that become masks when the size of their image is known; ``boxes`` is None where they are no boxes."""

    boxes: Any

    def rasterize(self, height: int, width: int, name: str) -> Tensor:
        """Bool ``[n, H, W]``; ``name`` is that of the image, for errors."""


class Clicks(Protocol):
    """Points that become pixels when the size of their image is known."""

    def pixels(self, height: int, width: int, name: str) -> Tensor:
        """int64 ``[n, 3]``; ``name`` is that of the image, for errors."""


@dataclass(frozen=True)
class TextPrompts:
    """What is asked of one image; what is known about the image stands in its sample.

    Attributes:
        tasks (tuple[str, ...] | None): Tasks to run, such as ``('panoptic',)``; None is the model's default.
        vocabulary (Vocabulary | None): Class names to segment or to classify with.
        phrases (tuple[str, ...]): What to find.
        questions (tuple[str, ...]): What to answer.
        texts (tuple[str, ...]): What to compare the image with.
        regions (Tensor | Shapes | None): What to describe, or what lies around or roughly on objects, bool
            ``[n, H, W]`` in the size of the original image.
        boxed (bool): Whether the regions are boxes.
        points (Tensor | Clicks | None): Clicks, int64 ``[n, 3]``: column and row of the original image, and whether
            the pixel belongs to the object (1) or not (0).
        background (tuple[str, ...]): Class names that compete with those of the vocabulary and are not reported.
        thresholds (Thresholds): What results must reach.
        uncertainty (bool): Whether to say how unsure the names of pixels are.
        class_temperature (float): Temperature of their probabilities for that, learned from labelled images.
        generation (Mapping[str, Any]): Changes to the model's :class:`~xdet.tasks.generation.GenerationSettings`.
        views (Views | None): How to look at the image; None is the model's way.
        more (Mapping[str, Any]): Prompts of tasks that do not come with xdet, by name.
        far (Mapping[str, tuple[str, ...]]): Those of the prompts that are far from what the model was trained with,
            each with the words that make it so.
    """

    tasks: tuple[str, ...] | None = None
    vocabulary: Vocabulary | None = None
    phrases: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    regions: Tensor | Shapes | None = None
    boxed: bool = False
    points: Tensor | Clicks | None = None
    background: tuple[str, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    uncertainty: bool = False
    class_temperature: float = 1.0
    generation: Mapping[str, Any] = field(default_factory=dict)
    views: Views | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    far: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def about_ground_truth(cls, sample: XDetDataSample) -> TextPrompts:
        """What a test pipeline asks: whether the model finds what is known about the image."""
        known = sample.metainfo
        return cls(
            tasks=known.get('tasks'),
            vocabulary=known.get('vocabulary'),
            phrases=known.get('phrases') or (),
            questions=known.get('questions') or (),
            texts=known.get('captions') or (),
            regions=sample.region_prompts.masks if 'region_prompts' in sample else None,
            generation=known.get('generation') or {},
        )

    def apply(self, sample: XDetDataSample, name: str) -> None:
        """Ask this of a sample, which is then segmented and reported with these class names.

        Args:
            sample (XDetDataSample): Of an image whose size (``ori_shape``) is known.
            name (str): The image's name, for errors.

        Raises:
            RegionError: Regions or points do not fit the image.
        """
        regions: Any = self.regions
        boxed, points = self.boxed, self.points
        if regions is not None and hasattr(regions, 'rasterize'):
            height, width = sample.ori_shape[:2]
            boxed = regions.boxes is not None
            regions = regions.rasterize(height, width, name)
        if points is not None and hasattr(points, 'pixels'):
            height, width = sample.ori_shape[:2]
            points = points.pixels(height, width, name)
        if self.vocabulary is not None:
            sample.set_metainfo(dict(vocabulary=self.vocabulary))
        sample.prompts = replace(self, regions=regions, boxed=boxed, points=points)

    def to(self, *args: Any, **kwargs: Any) -> TextPrompts:
        """With regions and points on another device, as samples are moved."""
        given = {'regions': self.regions, 'points': self.points}
        moved: dict[str, Any] = {
            key: value.to(*args, **kwargs) for key, value in given.items() if value is not None and hasattr(value, 'to')
        }
        return replace(self, **moved) if moved else self

    def cpu(self) -> TextPrompts:
        """With regions and points on the CPU."""
        return self.to('cpu')
