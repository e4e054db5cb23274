"""What a batch of images has to learn, as the criteria take it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from mmengine.structures import InstanceData
from torch import Tensor


@dataclass(frozen=True)
class SegmentTargets:
    """Segments of every image; there may be none.

    Attributes:
        segments (Sequence[InstanceData]): Per image ``labels`` int64 ``[n]`` and ``masks`` bool ``[n, H_b, W_b]``
            without padding. With a box loss there may be ``boxes`` ``[n, 4]``, xyxy in pixels, instead of ``masks``.
        input_size (tuple[int, int]): Padded ``(height, width)`` of the batch.
        names (Sequence[str]): What to call the images in errors, such as their paths; may be left out.
    """

    segments: Sequence[InstanceData]
    input_size: tuple[int, int]
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'names', tuple(self.names) or _numbered(len(self.segments)))

    def __len__(self) -> int:
        return len(self.segments)

    @cached_property
    def masks(self) -> list[Tensor]:
        """Float ``[n, H, W]`` per image, padded to the input; none where there are boxes. Made once."""
        return [
            target.labels.new_zeros((0, *self.input_size), dtype=torch.float32)
            if 'boxes' in target
            else pad_masks(target.masks, self.input_size, torch.float32)
            for target in self.segments
        ]

    @cached_property
    def labels(self) -> list[list[int]]:
        """Labels of every image on the host, which waits for the device once."""
        if not self.segments:
            return []
        host = torch.cat([target.labels for target in self.segments]).cpu()
        return [part.tolist() for part in host.split([len(target.labels) for target in self.segments])]

    def check(self, num_classes: Sequence[int]) -> None:
        """Compare targets with the input and with the numbers of classes of the images' vocabularies.

        Raises:
            ValueError: They do not fit; with the name of the image.
        """
        for target, labels, classes, name in zip(self.segments, self.labels, num_classes, self.names, strict=True):
            if 'boxes' not in target:  # fields of InstanceData are equally long, but targets may be something else
                if len(labels) != len(target.masks):
                    raise ValueError(
                        f'{name}: {len(target.masks)} masks but {len(labels)} labels; a segment needs one of each'
                    )
                check_mask_size(target.masks, self.input_size, name)
            if labels and not 0 <= min(labels) <= max(labels) < classes:
                raise ValueError(
                    f'{name}: labels run from {min(labels)} to {max(labels)} but its vocabulary has {classes} classes '
                    f'(0 to {classes - 1})'
                )


@dataclass(frozen=True)
class TaughtSegments:
    """What the queries of a teacher say about the segments of every image, in the order of its ``gt_segments``.

    Attributes:
        logits (Sequence[Tensor]): Class logits ``[n, K_b + 1]`` per image, last column "no object".
        masks (Sequence[Tensor]): Mask logits ``[n, h, w]`` per image, which cover the padded input.
        found (Sequence[Tensor]): bool ``[n]`` per image: False where the teacher has no query for a segment, and the
            rest means nothing.
    """

    logits: Sequence[Tensor]
    masks: Sequence[Tensor]
    found: Sequence[Tensor]


@dataclass(frozen=True)
class GroundingTargets:
    """Phrases of every image and what they refer to; ``n_b``, the phrases of an image, may be 0.

    Attributes:
        texts (Sequence[Tensor]): Phrase embeddings ``[n_b, C]`` per image, of any length.
        identities (Sequence[Sequence[Hashable]]): ``n_b`` per image; phrases of an image are the same text if these
            are equal (the phrases themselves will do).
        masks (Sequence[Tensor]): bool ``[n_b, H_b, W_b]`` per image, without padding.
        modes (Sequence[str]): ``'text'`` or ``'class'`` per image.
        input_size (tuple[int, int]): Padded ``(height, width)`` of the batch.
        names (Sequence[str]): What to call the images in errors, such as their paths; may be left out.
    """

    texts: Sequence[Tensor]
    identities: Sequence[Sequence[Hashable]]
    masks: Sequence[Tensor]
    modes: Sequence[str]
    input_size: tuple[int, int]
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'names', tuple(self.names) or _numbered(len(self.texts)))

    def check(self, modes: Sequence[str]) -> None:
        """Compare the fields with each other, with the input, and modes with those that are known.

        Raises:
            ValueError: They do not fit; with the name of the image.
        """
        rows = zip(self.texts, self.identities, self.masks, self.modes, self.names, strict=True)
        for text, identities, masks, mode, name in rows:
            if not len(text) == len(identities) == len(masks):
                raise ValueError(
                    f'{name}: {len(text)} phrase embeddings, {len(identities)} identities and {len(masks)} masks; '
                    'a phrase needs one of each'
                )
            if mode not in modes:
                raise ValueError(f'{name}: mode is {mode!r}; accepted are {" and ".join(map(repr, modes))}')
            check_mask_size(masks, self.input_size, name)

    def without_phrases(self) -> GroundingTargets:
        """The same images, which have nothing to learn."""
        return GroundingTargets(
            texts=[text[:0] for text in self.texts],
            identities=[()] * len(self.texts),
            masks=[mask[:0] for mask in self.masks],
            modes=self.modes,
            input_size=self.input_size,
            names=self.names,
        )


@dataclass(frozen=True)
class NounTargets:
    """Texts that the queries of every image belong to; an image may have no segments (n_b = 0), no texts (m_b = 0).

    Attributes:
        class_texts (Sequence[Tensor]): ``[n_b, C]`` per image: embedding of each segment's class, of any length.
        class_ids (Sequence[Tensor]): int64 ``[n_b]`` per image: id of each segment's class name.
        texts (Sequence[Tensor]): ``[m_b, C]`` per image: embeddings of its nouns and its caption, of any length.
        text_ids (Sequence[Tensor]): int64 ``[m_b]`` per image (:func:`~xdet.models.losses.text_ids`).
        names (Sequence[str]): What to call the images in errors, such as their paths; may be left out.
    """

    class_texts: Sequence[Tensor]
    class_ids: Sequence[Tensor]
    texts: Sequence[Tensor]
    text_ids: Sequence[Tensor]
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'names', tuple(self.names) or _numbered(len(self.texts)))


@dataclass(frozen=True)
class RetrievalTargets:
    """One caption for each of n images; n may be 0. Embeddings are of any length.

    Attributes:
        pooled (Tensor): ``[n, C]``, of whole captions.
        tokens (Tensor): ``[n, L, C]``.
        valid (Tensor): bool ``[n, L]``, True up to and including the end token.
        ids (Tensor, optional): int64 ``[n]``, equal for equal captions (:func:`~xdet.models.losses.text_ids`); without
            it all differ.
    """

    pooled: Tensor
    tokens: Tensor
    valid: Tensor
    ids: Tensor | None = None


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f'image {index} of the batch' for index in range(count))


def pad_masks(masks: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Masks ``[n, H, W]`` as ``dtype``, padded with zeros at the right and the bottom."""
    height, width = masks.shape[-2:]
    padded = masks.new_zeros((len(masks), *size), dtype=dtype)
    padded[:, :height, :width] = masks
    return padded


def check_mask_size(masks: Tensor, size: tuple[int, int], name: str) -> None:
    """Raise ValueError if masks ``[n, H, W]`` exceed the padded input."""
    if masks.shape[-2] > size[0] or masks.shape[-1] > size[1]:
        raise ValueError(f'{name}: masks of {tuple(masks.shape[-2:])} do not fit into the padded input {tuple(size)}')
