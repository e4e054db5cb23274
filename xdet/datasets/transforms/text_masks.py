"""Masks of what texts are about: of phrases and of described regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xdet.structures import MapMasks


def described(results: dict, key: str, test_mode: bool, keep_empty: bool) -> tuple[Tensor | MapMasks, list[dict]]:
    """Masks of what the texts of a sample are about, and the texts.

    Args:
        results (dict): The sample, with texts in ``results[key]``, see :class:`PackXDetInputs`.
        key (str): ``'phrases'`` or ``'regions'``.
        test_mode (bool): All of them, in the resolution of the file; otherwise without those that cropping left
            nothing of.
        keep_empty (bool): Keep these as well.

    Returns:
        tuple[Tensor | MapMasks, list[dict]]: bool ``[n, H, W]``, for training parts of a map if there is one, and n
        texts.

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
        masks = masks.expand() if isinstance(masks, MapMasks) else masks
    elif not keep_empty:
        without_target = torch.tensor([not _targets(text)[1] for text in texts], dtype=torch.bool)
        filled = masks.filled() if isinstance(masks, MapMasks) else masks.flatten(1).any(1)
        kept = filled | without_target
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


def masks_of_texts(results: dict, key: str) -> Tensor | MapMasks:
    """Masks ``[n, H, W]`` of what each phrase refers to, or of regions: parts of the map if all refer to segments."""
    targets = [_targets(text) for text in results[key]]

    def in_map(wanted: Sequence[Sequence[int]]) -> MapMasks:
        values = [[position + 1 for position in positions] for positions in wanted]
        return MapMasks.of(results['gt_seg_map'], values, len(results['segments_info']) + 1)

    if 'gt_seg_map' in results and all(kind == 'segments' for kind, _ in targets):
        return in_map([positions for _, positions in targets])
    masks = [
        in_map([positions]).expand()[0]
        if kind == 'segments'
        else torch.from_numpy(results['gt_masks'].to_ndarray()[list(positions)].astype(bool).any(axis=0))
        for kind, positions in targets
    ]
    return torch.stack(masks) if masks else torch.zeros((0, *results['img'].shape[:2]), dtype=torch.bool)
