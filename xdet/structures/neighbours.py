"""Which pixels are compared with which, for masks that are learned from boxes (BoxInst, arXiv 2012.02310)."""

from __future__ import annotations

from collections.abc import Sequence

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Offsets (rows, columns), times the dilation, from a pixel to those it is compared with; the other four are the same
pairs seen from the other side."""


def neighbour_slices(
    offset: tuple[int, int], size: Sequence[int], dilation: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the first and the second pixels of all pairs of an offset are, in a map of ``size``."""
    here, there = [], []
    for step, length in zip(offset, size, strict=True):
        step *= dilation
        here.append(slice(max(0, -step), length - max(0, step)))
        there.append(slice(max(0, step), length - max(0, -step)))
    return (here[0], here[1]), (there[0], there[1])
