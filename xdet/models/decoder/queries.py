"""Packs query groups into one sequence with named slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xdet.structures import QueryGroup

_ORDER = {'masked': 0, 'all': 1, 'no': 2}


@dataclass(frozen=True)
class PackedQueries:
    """Query groups as one sequence.

    Groups with masked image attention come first, then those that attend every pixel, then those that do not attend
    the image, so that each stage of a layer works on a prefix of the sequence.

    Attributes:
        groups (tuple[QueryGroup, ...]): Groups in packed order.
        slices (dict[str, slice]): Rows of each group.
        content (Tensor): ``[B, N, C]``.
        position (Tensor): ``[B, N, C]``.
        num_masked (int): Rows with masked image attention, which are also the rows that get mask predictions.
        num_attending (int): Rows that attend the image at all.
    """

    groups: tuple[QueryGroup, ...]
    slices: dict[str, slice]
    content: Tensor
    position: Tensor
    num_masked: int
    num_attending: int


def pack(groups: Sequence[QueryGroup]) -> PackedQueries:
    """Concatenate groups, keeping the given order among groups with the same kind of image attention.

    Args:
        groups (Sequence[QueryGroup]): Groups of one batch; names must be unique.

    Raises:
        ValueError: Two groups share a name, or a group sees or pools one that is not there.
    """
    ordered = tuple(sorted(groups, key=lambda group: _ORDER[group.image_attention]))
    names = [group.name for group in ordered]
    if len(set(names)) < len(names):
        raise ValueError(f'query groups must have unique names, got {names}')
    slices, start = {}, 0
    for group in ordered:
        unknown = (group.sees | ({group.pools} if group.pools else set())) - set(names)
        if unknown:
            raise ValueError(f"query group '{group.name}' refers to {sorted(unknown)}; present are {names}")
        slices[group.name] = slice(start, start + group.content.shape[1])
        start = slices[group.name].stop

    def rows(*kinds: str) -> int:
        return sum(group.content.shape[1] for group in ordered if group.image_attention in kinds)

    return PackedQueries(
        groups=ordered,
        slices=slices,
        content=torch.cat([group.content for group in ordered], dim=1),
        position=torch.cat([group.position for group in ordered], dim=1),
        num_masked=rows('masked'),
        num_attending=rows('masked', 'all'),
    )
