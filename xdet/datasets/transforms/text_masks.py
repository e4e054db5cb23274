"""Masks of what texts are about: of phrases and of described regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def described(results: dict, key: str, test_mode: bool, keep_empty: bool) -> tuple[Tensor, list[dict]]:
    """Masks of what the texts of a sample are about, and the texts.

    Args:
        results (dict): The sample, with texts in ``results[key]``, see :class:`PackXDetInputs`.
        key (str): ``'phrases'`` or ``'regions'``.
        test_mode (bool): All of them, in the resolution of the file; otherwise without those that cropping left
            nothing of.
        keep_empty (bool): Keep these as well.

    Returns:
        tuple[Tensor, list[dict]]: bool ``[n, H, W]`` and n texts.

    Raises:
        ValueError: A text does not say what it is about, or masks for metrics were resized.
    """
    texts, masks = results[key], masks_of_texts(results, key)
    if test_mode:
        if tuple(masks.shape[1:]) != tuple(results['ori_shape']):
            raise ValueError(
                f'{results.get("img_path")}: masks of {key} are {tuple(masks.shape[1:])} but metrics need the '
                f'original {tuple(results["ori_shape"])}; in a test pipeline load annotations after resizing'
            )
    elif not keep_empty:
        without_target = torch.tensor([not _targets(text)[1] for text in texts], dtype=torch.bool)
        kept = masks.flatten(1).any(1) | without_target
        masks = masks[kept]
        texts = [text for text, keep in zip(texts, kept.tolist(), strict=True) if keep]
    return masks, texts


def _targets(phrase: dict) -> tuple[str, Sequence[int]]:
    """Which annotations a phrase refers to: ``'segments'`` or ``'instances'``, and which of them."""
    for key in ('segments', 'instances'):
        if key in phrase:
            return key, phrase[key]
    raise ValueError(
        f"phrase {phrase.get('text')!r} does not say what it refers to; it needs 'segments' or 'instances'"
    )


def masks_of_texts(results: dict, key: str) -> Tensor:
    """Masks ``[n, H, W]`` of what each phrase refers to, or of regions."""
    masks = []
    for text in results[key]:
        kind, positions = _targets(text)
        if kind == 'segments':
            chosen = np.zeros(len(results['segments_info']) + 1, dtype=bool)
            chosen[[position + 1 for position in positions]] = True
            mask = chosen[results['gt_seg_map']]
        else:
            mask = results['gt_masks'].to_ndarray()[list(positions)].astype(bool).any(axis=0)
        masks.append(torch.from_numpy(mask))
    if masks:
        return torch.stack(masks)
    shape = results['gt_seg_map'].shape if 'gt_seg_map' in results else results['img'].shape[:2]
    return torch.zeros((0, *shape), dtype=torch.bool)
