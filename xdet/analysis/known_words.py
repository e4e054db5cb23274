"""Measures the threshold by which a model tells prompts that are far from its training vocabulary."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xdet.compat.checkpoint import known_words_of
from xdet.datasets.order.seeding import seeded_rng
from xdet.inference.names.known_words import embed, familiarity
from xdet.model_zoo import EMBEDDED
from xdet.structures import KnownWords
from xdet.structures.known_words import singulars, words_of
from xdet.structures.vocabulary import same_text

if TYPE_CHECKING:
    from xdet.models.text import CausalTextEncoder

SPLITS = 20
"""How often the lists are divided."""

PASS, FLAG = 0.95, 0.80
"""Aims: shares of trained and related names that pass, and of unrelated ones that are marked."""


@dataclass(frozen=True)
class Measurement:
    """How well a threshold tells related from unrelated names.

    No name is compared with itself or with one that it shares a word with, so each stands for one that no list has.
    Shares are means over random halves of the lists, for which the other half chose the threshold.

    Attributes:
        threshold (float): Smallest familiarity that passes; the median of those that the halves chose.
        passed (float): Share of the related names that pass.
        marked (float): Share of the unrelated names that are marked.
        passed_in_all (float): Share of related and trained names that pass; the latter always do.
        counts (tuple[int, int]): How many names the lists have.
        near (float | None): Share of the third list that is marked.
        wrong (tuple[tuple[str, ...], tuple[str, ...]]): Related names that are marked, unrelated ones that pass.
    """

    threshold: float
    passed: float
    marked: float
    passed_in_all: float
    counts: tuple[int, int]
    near: float | None
    wrong: tuple[tuple[str, ...], tuple[str, ...]]


def measure(
    known: KnownWords,
    text_encoder: CausalTextEncoder,
    related: Sequence[str],
    unrelated: Sequence[str],
    near: Sequence[str] = (),
    seed: int = 0,
) -> tuple[KnownWords, Measurement]:
    """Choose a threshold, and say how well it does.

    Args:
        known (KnownWords): Training vocabulary of the model.
        text_encoder (CausalTextEncoder): Its text encoder.
        related (Sequence[str]): Other words for the trained names, and kinds of them: these should pass.
        unrelated (Sequence[str]): Names of other things: these should be marked.
        near (Sequence[str]): Names of things that were not trained but are like those that were. They are compared with
            as well, and what becomes of them is only reported.
        seed (int): Decides about the halves.

    Returns:
        tuple[KnownWords, Measurement]: The vocabulary with all lists and the threshold, and what it is worth.

    Raises:
        ValueError: A list has less than 8 names that are not trained themselves.
    """
    trained = {same_text(name) for name in known.names}
    related, unrelated, near = (
        [name for name in dict.fromkeys(names) if same_text(name) not in trained]
        for names in (related, unrelated, near)
    )
    for what, names in (('related', related), ('unrelated', unrelated)):
        if len(names) < 8:
            raise ValueError(f'the list of {what} names has {len(names)} that were not trained; at least 8 are needed')
    of_trained, of_related, of_unrelated, of_near = (
        embed(text_encoder, names) for names in (known.names, related, unrelated, near)
    )
    of_others, others = torch.cat([of_unrelated, of_near]), [*unrelated, *near]

    def familiar(names: Sequence[str], rows: Tensor) -> Tensor:
        alike = (rows @ of_related.T).masked_fill(_share_word(names, related), -1.0)
        unlike = (rows @ of_others.T).masked_fill(_share_word(names, others), -1.0)
        known = torch.cat([rows @ of_trained.T, alike], dim=1)
        return torch.from_numpy(familiarity(known.numpy(), unlike.numpy()))

    shares = [familiar(related, of_related), familiar(unrelated, of_unrelated)]
    generator = torch.Generator().manual_seed(seed)
    thresholds, passed, marked = [], [], []
    for _ in range(SPLITS):
        halves = [values[torch.randperm(len(values), generator=generator)].tensor_split(2) for values in shares]
        thresholds.append(choose(*(first for first, _ in halves), always=len(known.names) / 2))
        passed.append(float((halves[0][1] >= thresholds[-1]).float().mean()))
        marked.append(float((halves[1][1] < thresholds[-1]).float().mean()))
    threshold = round(median(thresholds), 4)
    passes = [(values >= threshold).tolist() for values in shares]
    measurement = Measurement(
        threshold,
        fmean(passed),
        fmean(marked),
        (len(known.names) + fmean(passed) * len(related)) / (len(known.names) + len(related)),
        (len(related), len(unrelated)),
        float((familiar(near, of_near) < threshold).float().mean()) if near else None,
        (
            tuple(name for name, passes_ in zip(related, passes[0], strict=True) if not passes_),
            tuple(name for name, passes_ in zip(unrelated, passes[1], strict=True) if passes_),
        ),
    )
    return replace(known, also=tuple(related), others=tuple(others), threshold=threshold), measurement


def choose(related: Tensor, unrelated: Tensor, always: float = 0) -> float:
    """Threshold at which the worse of the two shares, compared with its aim, is best.

    Args:
        related (Tensor): Familiarity of names that should pass.
        unrelated (Tensor): Familiarity of names that should be marked.
        always (float): How many names pass whatever the threshold is, the trained ones.
    """
    values = torch.cat([related, unrelated]).sort().values
    between = (values[1:] + values[:-1]) / 2
    passed = ((related[None] >= between[:, None]).sum(dim=1) + always).double() / (len(related) + always)
    marked = (unrelated[None] < between[:, None]).double().mean(dim=1)
    worse = torch.minimum(passed - PASS, marked - FLAG)
    best = between[worse >= worse.amax() - 1e-9]  # the middle of those that are equally good
    return round(float(best.amin() + best.amax()) / 2, 4)


def read_lists(lines: Sequence[str], where: str) -> list[str]:
    """Names of a list: one per line, or several with commas between them, after a heading and a colon or without one.

    Raises:
        ValueError: There are none.
    """
    names = [
        name.strip()
        for line in lines
        if not line.lstrip().startswith('#')
        for name in line.rsplit(':', 1)[-1].split(',')
        if name.strip()
    ]
    if not names:
        raise ValueError(f'{where} has no names; accepted are lines with one name, or several with commas between them')
    return list(dict.fromkeys(names))


def brought_along(checkpoint: Any, path: str | os.PathLike) -> KnownWords | None:
    """Training vocabulary of weights that were read from a file; also of those in the package, which do not hold it."""
    known = known_words_of(checkpoint, path)
    if known is None:
        embedded = (model.known_words for model in EMBEDDED.values() if model.weights == Path(path).absolute())
        return next(embedded, None)
    return known


def collect(datasets: Iterable[Any], most: int) -> KnownWords:
    """Training vocabulary of samples of data sets, for weights whose training did not write it down.

    Args:
        datasets (Iterable[Any]): Data sets with training pipelines.
        most (int): Most samples of each, taken at even distances.
    """
    known = KnownWords()
    for dataset in datasets:
        for index in range(0, len(dataset), max(1, -(-len(dataset) // most))):
            with seeded_rng(0, 0, index):
                known |= KnownWords.of_samples([dataset[index]['data_samples']])
    return known


def _share_word(left: Sequence[str], right: Sequence[str]) -> Tensor:
    """Bool ``[n, m]``: which texts have a word in common, in singular or plural."""
    forms = [[_forms(text) for text in texts] for texts in (left, right)]
    shared = [[not one.isdisjoint(other) for other in forms[1]] for one in forms[0]]
    return torch.tensor(shared, dtype=torch.bool).reshape(len(left), len(right))


def _forms(text: str) -> set[str]:
    return {form for word in words_of([text]) for form in singulars(word)}
