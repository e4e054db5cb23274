"""Access to what a metric needs of a sample, with errors that say who forgot it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

ADVICE = dict(
    gt='the dataset has no labels, or the test pipeline lacks LoadSegments or PackXDetInputs(test_mode=True)',
    pred=(
        'the model was not asked for it; name the task in PackXDetInputs(tasks=...) or in '
        'tasks.segmentation.default_tasks'
    ),
    texts='the dataset has no such texts, or the test pipeline does not load them',
)


def name_of(sample: dict) -> str:
    """What to call a sample in errors."""
    return str(sample.get('img_path', sample.get('img_id', 'a sample')))


def field(sample: dict, name: str) -> Any:
    """Field ``name`` of a sample in the form that MMEngine's evaluator hands over.

    Names begin with ``gt_`` or ``pred_``, apart from the texts in the meta information, such as ``captions``.

    Raises:
        ValueError: The sample does not have it.
    """
    if name not in sample:
        raise ValueError(f'{name_of(sample)}: has no {name}: {ADVICE.get(name.split("_")[0], ADVICE["texts"])}')
    return sample[name]


def require_results(metric: Any, results: Sequence) -> None:
    """Refuse to average over nothing.

    Raises:
        ValueError: Not one sample was evaluated.
    """
    if not results:
        raise ValueError(f'{type(metric).__name__}: no sample was evaluated; the test set is empty')


def check_finite(sample: dict, name: str, values: Tensor) -> None:
    """Refuse numbers that cannot be ranked.

    Raises:
        ValueError: One of ``values`` is NaN or infinite.
    """
    wrong = (~torch.isfinite(values)).nonzero()
    if len(wrong):
        index = wrong[0].tolist()
        raise ValueError(
            f'{name_of(sample)}: {name} {index} is {values[tuple(index)].item()}; all must be finite numbers'
        )


def check_labels(sample: dict, name: str, labels: Sequence[int], num_classes: int) -> None:
    """Refuse labels that the vocabulary of the metric does not have.

    Raises:
        ValueError: One of ``labels`` is not in 0 to K - 1.
    """
    wrong = [label for label in labels if not 0 <= label < num_classes]
    if wrong:
        raise ValueError(
            f'{name_of(sample)}: {name} has label {wrong[0]}, but the vocabulary of the data set has {num_classes} '
            'classes; model and metric must use the same one'
        )


def distinct_names(names: Sequence[str]) -> list[str]:
    """Class names for tables, with the label behind those that several classes have (as in ADE20K-847)."""
    count = Counter(names)
    return [name if count[name] == 1 else f'{name} ({label})' for label, name in enumerate(names)]
