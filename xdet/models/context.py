"""What the model hands to its tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from xdet.structures import DecoderOutput, ImageFeatures, KeysValues, QueryGroup, XDetDataSample

from .decoder import QueryStream, XDecoderTransformerDecoder
from .pixel_names import PixelNames
from .text import CausalTextEncoder, TextCache, TextFeatures
from .text.cache import EncodedText


class LatentPass:
    """The decoder's pass over the latent queries, which all tasks but referring segmentation start from.

    Everything is made when it is first needed, then shared. Like the features, it belongs to the weights it was made
    with.

    Args:
        decoder (XDecoderTransformerDecoder): The decoder.
        features (ImageFeatures): Encoded images.
    """

    def __init__(self, decoder: XDecoderTransformerDecoder, features: ImageFeatures) -> None:
        self.decoder = decoder
        self.features = features

    @cached_property
    def outputs(self) -> DecoderOutput:
        """What the decoder makes of the latent queries."""
        return self.decode(self.decoder.latent_queries(len(self.features.mask_features)))

    def decode(self, groups: Sequence[QueryGroup], rows_per_image: int = 1) -> DecoderOutput:
        """A pass of the decoder over other queries; takes :attr:`image_keys` if they were made."""
        return self.decoder(self.features, groups, self.__dict__.get('image_keys'), rows_per_image)

    @cached_property
    def image_keys(self) -> tuple[KeysValues, ...]:
        """Keys and values of the image in every layer.

        Queries that come after the latent ones need them, and several passes on an image share them: for large images
        they take as much memory as the features. Made before :attr:`outputs`, they are used for these as well.
        """
        return self.decoder.image_keys(self.features)

    def prepare_streams(self) -> None:
        """Make what :meth:`stream` needs, for all images at once, before some of them are selected."""
        self.image_keys  # noqa: B018
        self.outputs  # noqa: B018

    def stream(self, length: int, rows_per_image: int = 1, regions: Tensor | None = None) -> QueryStream:
        """Queries that come after the latent ones, see :class:`~xdet.models.decoder.QueryStream`."""
        self.prepare_streams()
        return QueryStream(self.decoder, self.features, self.outputs, length, rows_per_image, regions, self.image_keys)

    def select(self, indices: Sequence[int]) -> LatentPass:
        """The pass for some images of the batch; what was made is shared."""
        part = LatentPass(self.decoder, self.features.select(indices))
        made = self.__dict__
        if 'outputs' in made:
            part.outputs = self.outputs.select(indices)
        if 'image_keys' in made:
            part.image_keys = tuple(keys.select(indices) for keys in self.image_keys)
        return part


@dataclass(frozen=True)
class TaskContext:
    """Everything a task may look at in one forward pass.

    Attributes:
        latent_pass (LatentPass): The encoded images, and what the decoder makes of them before any prompt.
        samples (Sequence[XDetDataSample]): One per image.
        text (CausalTextEncoder): Holds the logit scale and the table of tokens.
        texts (TextCache): Encodes texts and class names, and remembers those of earlier forward passes.
        encoded (dict[str, EncodedText]): Texts of this forward pass, shared by all contexts derived from this one.
        colours (Callable[[Tensor], Tensor], optional): Undoes the normalisation of images; RGB in [0, 1].
        pixel_names (PixelNames, optional): How pixels know names, in models whose pixels have a say in them.
    """

    latent_pass: LatentPass
    samples: Sequence[XDetDataSample]
    text: CausalTextEncoder
    texts: TextCache
    encoded: dict[str, EncodedText] = field(default_factory=dict, repr=False)
    colours: Callable[[Tensor], Tensor] | None = None
    pixel_names: PixelNames | None = None

    @property
    def features(self) -> ImageFeatures:
        """Encoded images of the batch."""
        return self.latent_pass.features

    @property
    def decoder(self) -> XDecoderTransformerDecoder:
        """For tasks that run queries of their own."""
        return self.latent_pass.decoder

    @property
    def vocabulary(self) -> TextCache:
        """Embeds class names."""
        return self.texts

    @cached_property
    def latents(self) -> list[QueryGroup]:
        """The object and image groups, which tasks may copy."""
        return self.decoder.latent_queries(len(self.samples))

    @property
    def outputs(self) -> DecoderOutput:
        """What the decoder makes of the latent queries: computed when the first task asks, then shared."""
        return self.latent_pass.outputs

    def select(self, indices: Sequence[int]) -> TaskContext:
        """The context of some samples of the batch; they share what was made of it."""
        rows = list(indices)
        if rows == list(range(len(self.samples))):
            return self
        samples = [self.samples[row] for row in rows]
        return replace(self, samples=samples, latent_pass=self.latent_pass.select(rows))

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
