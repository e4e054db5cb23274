"""When two texts count as the same text."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor


def text_ids(texts: Sequence[str]) -> Tensor:
    """Numbers that are equal exactly for texts which differ only in case and white space.

    They depend on nothing but the text, so they mean the same on every rank and in every run. For the contrast of
    queries with nouns give plain names without their prompt ('bench', not 'a photo of a bench.').

    Returns:
        Tensor: int64 ``[n]`` on the CPU.
    """
    digests = [blake2b(' '.join(text.casefold().split()).encode(), digest_size=8).digest() for text in texts]
    return torch.tensor([int.from_bytes(digest, 'big', signed=True) for digest in digests], dtype=torch.int64)
