"""What the model hands to its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdet.structures import ImageFeatures, QueryGroup, XDetDataSample

from .text import VocabularyEmbedder, XDecoderTextEncoder


@dataclass(frozen=True)
class TaskContext:
    """Everything a task may look at in one forward pass.

    Attributes:
        features (ImageFeatures): Encoded images of the batch.
        samples (Sequence[XDetDataSample]): One per image.
        latents (Sequence[QueryGroup]): The object and image groups, which tasks may copy.
        text (XDecoderTextEncoder): Encodes phrases and holds the logit scale.
        vocabulary (VocabularyEmbedder): Embeds class names.
    """

    features: ImageFeatures
    samples: Sequence[XDetDataSample]
    latents: Sequence[QueryGroup]
    text: XDecoderTextEncoder
    vocabulary: VocabularyEmbedder
