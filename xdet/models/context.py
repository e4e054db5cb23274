"""What the model hands to its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from xdet.structures import DecoderOutput, ImageFeatures, QueryGroup, XDetDataSample

from .decoder import XDecoderTransformerDecoder
from .text import VocabularyEmbedder, XDecoderTextEncoder


@dataclass(frozen=True)
class TaskContext:
    """Everything a task may look at in one forward pass.

    Attributes:
        features (ImageFeatures): Encoded images of the batch.
        samples (Sequence[XDetDataSample]): One per image.
        decoder (XDecoderTransformerDecoder): For tasks whose queries come after the latent ones.
        text (XDecoderTextEncoder): Encodes phrases and holds the logit scale.
        vocabulary (VocabularyEmbedder): Embeds class names.
    """

    features: ImageFeatures
    samples: Sequence[XDetDataSample]
    decoder: XDecoderTransformerDecoder
    text: XDecoderTextEncoder
    vocabulary: VocabularyEmbedder

    @cached_property
    def latents(self) -> list[QueryGroup]:
        """The object and image groups, which tasks may copy."""
        return self.decoder.latent_queries(len(self.samples))

    @cached_property
    def outputs(self) -> DecoderOutput:
        """What the decoder makes of the latent queries: computed when the first task asks, then shared."""
        return self.decoder(self.features, self.latents, keep_keys=True)
