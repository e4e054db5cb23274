"""Access to what a metric needs of a sample, with errors that say who forgot it."""

from __future__ import annotations

from typing import Any

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
