"""What the inferencer can be asked with: prompts, settings of generated texts, and what to report."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from xdet.structures import Vocabulary


class Prompts(TypedDict, total=False):
    """What to look for. Each prompt holds for all images or, as a list with one entry per image, for one.

    Texts are a string ``'the red car . a person'`` or a list of strings.

    Attributes:
        things (str | Sequence): Countable classes.
        stuff (str | Sequence): Uncountable classes.
        classes (str | Sequence): Classes for users who make no difference.
        vocabulary (str | Vocabulary | Sequence): Name of a known class list such as ``'coco_panoptic'``, or a
            vocabulary.
        phrases (str | Sequence): What to find, in words.
        boxes (Sequence | np.ndarray | Tensor): Regions ``[[x1, y1, x2, y2], ...]`` in pixels of the picture.
        masks (Sequence | np.ndarray | Tensor | str | Path): Regions, bool ``[n, H, W]`` or ``[H, W]`` in the size of
            the picture, or picture files in which everything but black is the region.
        questions (str | Sequence): Questions about the picture.
        texts (str | Sequence): Texts that all images of the call are compared with.
    """

    things: str | Sequence | None
    stuff: str | Sequence | None
    classes: str | Sequence | None
    vocabulary: str | Vocabulary | Sequence[str | Vocabulary] | None
    phrases: str | Sequence | None
    boxes: Sequence | np.ndarray | Tensor | None
    masks: Sequence | np.ndarray | Tensor | str | Path | None
    questions: str | Sequence | None
    texts: str | Sequence[str] | None


class Generation(TypedDict, total=False):
    """How captions are written, see :class:`xdet.tasks.generation.GenerationSettings`."""

    max_tokens: int | None
    num_beams: int | None
    length_penalty: float | None
    top_p: float | None
    temperature: float | None
    seed: int | None
    num_texts: int | None


class ReportOptions(TypedDict, total=False):
    """What becomes of results.

    Attributes:
        pred_score_thr (float): Instances and phrases below are neither drawn nor printed (default 0.3).
        return_vis (bool): Return overlays.
        return_datasamples (bool): Return samples instead of plain data.
        return_embeddings (bool): Retrieval: add the embedding of the image to its prediction.
        no_save_vis (bool): Write no pictures.
        no_save_pred (bool): Write no data.
        print_result (bool): Print a summary of every image.
    """

    pred_score_thr: float
    return_vis: bool
    return_datasamples: bool
    return_embeddings: bool
    no_save_vis: bool
    no_save_pred: bool
    print_result: bool


class Options(Prompts, Generation, ReportOptions, total=False):
    """All of them, as keyword arguments."""


PROMPTS = tuple(Prompts.__annotations__)
GENERATION = tuple(Generation.__annotations__)
REPORT = tuple(ReportOptions.__annotations__)


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Prompts, generation settings and report options; None counts as not given.

    Raises:
        TypeError: An option is unknown.
        ValueError: The score threshold is not a number from 0 to 1.
    """
    known = (*PROMPTS, *GENERATION, *REPORT)
    unknown = sorted(set(options) - set(known))
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f'did you mean {close[0]}?' if close else f'accepted are {", ".join(known)}'
        raise TypeError(f'unknown argument {", ".join(unknown)}; {hint}')
    given = {key: value for key, value in options.items() if value is not None}
    threshold = given.get('pred_score_thr', 0.0)
    if not 0 <= threshold <= 1:
        raise ValueError(f'pred_score_thr is {threshold}; accepted are numbers from 0 to 1')
    prompts, generation, report = (
        {key: given[key] for key in keys if key in given} for keys in (PROMPTS, GENERATION, REPORT)
    )
    return prompts, generation, report
