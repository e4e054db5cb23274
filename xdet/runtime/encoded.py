"""Images after the expensive half of an exported model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.inputs.images import ImageSource
from xdet.io.reading import shorten

from .model import ExportedModel
from .resizing import network_image, resizing_matrix

Array = NDArray[Any]
LEVELS = (32, 16, 8)
"""Strides of the feature maps that the decoder attends."""


@dataclass
class EncodedImage:
    """An image and its features; what later prompts share is added when it is first needed.

    Attributes:
        model (ExportedModel): The graphs.
        source (ImageSource): Where it came from.
        size (tuple[int, int]): Height and width of the image.
        seen (tuple[int, int]): Of what the network saw, without padding.
        results (dict[str, Array]): Of the graph ``image_encoder``, by name.
    """

    model: ExportedModel
    source: ImageSource
    size: tuple[int, int]
    seen: tuple[int, int]
    results: dict[str, Array] = field(default_factory=dict)

    @property
    def features(self) -> dict[str, Array]:
        """``mask_features`` and the feature maps of :data:`LEVELS`."""
        names = ('mask_features', *(f'memory_{stride}' for stride in LEVELS))
        return {name: self.results[name] for name in names}

    @cached_property
    def latents(self) -> dict[str, Array]:
        """Results of the graph ``decoder``."""
        return self.model.named('decoder', self.results)

    @cached_property
    def image_keys(self) -> dict[str, Array]:
        """Results of the graph ``image_keys``."""
        return self.model.named('image_keys', self.results)

    @cached_property
    def resizing(self) -> dict[str, Array]:
        """The matrices that bring masks to the size of the image."""
        sizes = zip(self.results['mask_features'].shape[2:], self.seen, self.size, strict=True)
        rows, columns = (resizing_matrix(length, 4 * length, cut, size) for length, cut, size in sizes)
        return dict(rows=rows, columns=columns)


def network_input(
    model: ExportedModel, source: ImageSource, task: str | None
) -> tuple[NDArray[np.float32], EncodedImage]:
    """Normalised, padded image ``[1, 3, H, W]`` in the size of a task, and the sizes, still without features.

    Raises:
        ImageReadError: The image cannot be read or resized.
    """
    image, pixels, sizes = source.read(), model.facts['pixels'], model.facts['sizes']
    try:
        seen = network_image(image, sizes.get(task) or sizes[''])
    except (OSError, ValueError, ZeroDivisionError) as error:
        reason = f'an image of {image.shape[1]}x{image.shape[0]} pixels cannot be resized ({shorten(str(error))})'
        raise ImageReadError(source.name, reason) from error
    mean, std = (np.array(pixels[key], dtype=np.float32).reshape(3, 1, 1) for key in ('mean', 'std'))
    channels = seen[..., ::-1] if pixels['bgr_to_rgb'] else seen
    height, width = seen.shape[:2]
    divisor = pixels['divisor']
    sides = (-(-side // divisor) * divisor for side in (height, width))
    result = np.zeros((1, 3, *sides), dtype=np.float32)
    result[0, :, :height, :width] = (channels.transpose(2, 0, 1).astype(np.float32) - mean) / std
    return result, EncodedImage(model, source, (image.shape[0], image.shape[1]), (height, width))


def encode(model: ExportedModel, source: ImageSource, task: str | None) -> EncodedImage:
    """An image in the size of a task, with its features. Errors as in :func:`network_input`."""
    seen, image = network_input(model, source, task)
    image.results = model.named('image_encoder', dict(image=seen))
    return image
