"""What the model hands to its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xdet.structures import DecoderOutput, ImageFeatures, QueryGroup, XDetDataSample

from .decoder import XDecoderTransformerDecoder
from .text import CausalTextEncoder, TextFeatures, VocabularyEmbedder


@dataclass(frozen=True)
class TaskContext:
    """Everything a task may look at in one forward pass.

    Attributes:
        features (ImageFeatures): Encoded images of the batch.
        samples (Sequence[XDetDataSample]): One per image.
        decoder (XDecoderTransformerDecoder): For tasks whose queries come after the latent ones.
        text (CausalTextEncoder): Encodes phrases and holds the logit scale.
        vocabulary (VocabularyEmbedder): Embeds class names.
        keep_keys (bool): Whether a task will feed a :class:`~xdet.models.decoder.QueryStream`.
    """

    features: ImageFeatures
    samples: Sequence[XDetDataSample]
    decoder: XDecoderTransformerDecoder
    text: CausalTextEncoder
    vocabulary: VocabularyEmbedder
    keep_keys: bool = False

    @cached_property
    def latents(self) -> list[QueryGroup]:
        """The object and image groups, which tasks may copy."""
        return self.decoder.latent_queries(len(self.samples))

    @cached_property
    def outputs(self) -> DecoderOutput:
        """What the decoder makes of the latent queries: computed when the first task asks, then shared."""
        return self.decoder(self.features, self.latents, keep_keys=self.keep_keys)

    def select(self, indices: Sequence[int]) -> TaskContext:
        """The context of some samples of the batch."""
        rows = list(indices)
        if rows == list(range(len(self.samples))):
            return self
        return replace(self, features=self.features.select(rows), samples=[self.samples[row] for row in rows])

    @cached_property
    def _texts(self) -> dict[str, tuple[Tensor, Tensor]]:
        return {}

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Encode whole texts; within one forward pass a text is encoded once, whichever tasks need it.

        Args:
            texts (Sequence[str]): At least one.

        Returns:
            TextFeatures: One row per text, with gradient when the text encoder has one.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            encoded = self.text(new)
            for text, tokens, pooled, valid in zip(new, encoded.tokens, encoded.pooled, encoded.valid, strict=True):
                self._texts[text] = tokens[: int(valid.sum())], pooled
        tokens = [self._texts[text][0] for text in texts]
        lengths = torch.tensor([len(row) for row in tokens], device=tokens[0].device)
        padded = pad_sequence(tokens, batch_first=True)
        valid = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
        return TextFeatures(padded, torch.stack([self._texts[text][1] for text in texts]), valid)
