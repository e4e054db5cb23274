"""What the model hands to its tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from xdet.structures import DecoderOutput, ImageFeatures, QueryGroup, XDetDataSample

from .decoder import XDecoderTransformerDecoder
from .text import CausalTextEncoder, TextCache, TextFeatures
from .text.cache import EncodedText


class LatentPass:
    """The decoder's pass over the latent queries, which all tasks but referring segmentation start from.

    Made when it is first needed, then shared. Like the features, it belongs to the weights it was made with.

    Args:
        decoder (XDecoderTransformerDecoder): The decoder.
        features (ImageFeatures): Encoded images.
        outputs (DecoderOutput, optional): The pass, if it was already made.
    """

    def __init__(
        self, decoder: XDecoderTransformerDecoder, features: ImageFeatures, outputs: DecoderOutput | None = None
    ) -> None:
        self.decoder = decoder
        self.features = features
        self._outputs = outputs

    def outputs(self, with_keys: bool = False) -> DecoderOutput:
        """What the decoder makes of the latent queries.

        Args:
            with_keys (bool): Whether a :class:`~xdet.models.decoder.QueryStream` will need the keys. If an earlier call
                did without, the pass is made once more: for large images keys take as much memory as the features.
        """
        if self._outputs is None or (with_keys and self._outputs.keys is None):
            queries = self.decoder.latent_queries(len(self.features.mask_features))
            self._outputs = self.decoder(self.features, queries, keep_keys=with_keys)
        return self._outputs

    def select(self, indices: Sequence[int]) -> LatentPass:
        """The pass for some images of the batch; what was computed is shared."""
        outputs = self._outputs.select(indices) if self._outputs is not None else None
        return LatentPass(self.decoder, self.features.select(indices), outputs)


@dataclass(frozen=True)
class TaskContext:
    """Everything a task may look at in one forward pass.

    Attributes:
        features (ImageFeatures): Encoded images of the batch.
        samples (Sequence[XDetDataSample]): One per image.
        decoder (XDecoderTransformerDecoder): For tasks whose queries come after the latent ones.
        text (CausalTextEncoder): Encodes phrases and holds the logit scale.
        texts (TextCache): Encodes texts and class names, and remembers those of earlier forward passes.
        keep_keys (bool): Whether a task will feed a :class:`~xdet.models.decoder.QueryStream`.
        latent_pass (LatentPass, optional): That of earlier tasks on these images.
        encoded (dict[str, EncodedText]): Texts of this forward pass, shared by all contexts derived from this one.
    """

    features: ImageFeatures
    samples: Sequence[XDetDataSample]
    decoder: XDecoderTransformerDecoder
    text: CausalTextEncoder
    texts: TextCache
    keep_keys: bool = False
    latent_pass: LatentPass | None = None
    encoded: dict[str, EncodedText] = field(default_factory=dict, repr=False)

    @property
    def vocabulary(self) -> TextCache:
        """Embeds class names."""
        return self.texts

    @cached_property
    def latents(self) -> list[QueryGroup]:
        """The object and image groups, which tasks may copy."""
        return self.decoder.latent_queries(len(self.samples))

    @cached_property
    def outputs(self) -> DecoderOutput:
        """What the decoder makes of the latent queries: computed when the first task asks, then shared."""
        return (self.latent_pass or LatentPass(self.decoder, self.features)).outputs(self.keep_keys)

    def select(self, indices: Sequence[int]) -> TaskContext:
        """The context of some samples of the batch; they share its :attr:`outputs`."""
        rows = list(indices)
        if rows == list(range(len(self.samples))):
            return self
        latent_pass = LatentPass(self.decoder, self.features, self.outputs).select(rows)
        samples = [self.samples[row] for row in rows]
        return replace(self, features=latent_pass.features, samples=samples, latent_pass=latent_pass)

    def of_learners(self, learns: Callable[[XDetDataSample], bool]) -> TaskContext:
        """What one task sees in training: samples that do not learn it are there, but without any target."""
        if all(map(learns, self.samples)):
            return self
        return replace(self, samples=[sample if learns(sample) else _bare(sample) for sample in self.samples])

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Encode whole texts; a text is encoded once per forward pass, in evaluation once for many passes.

        Args:
            texts (Sequence[str]): At least one.

        Returns:
            TextFeatures: One row per text, with gradient when the text encoder has one.
        """
        return self.texts.whole(texts, self.encoded)


_NO_TARGETS = ('img_path', 'img_id', 'ori_shape', 'img_shape', 'batch_input_shape', 'vocabulary')


def _bare(sample: XDetDataSample) -> XDetDataSample:
    """The image and its vocabulary, nothing to learn."""
    return XDetDataSample(metainfo={key: sample.metainfo[key] for key in _NO_TARGETS if key in sample.metainfo})
