"""Every metric agrees with an independent implementation, where that is installed."""

from __future__ import annotations

import pytest
from tiny.tools import load_script

TOLERANCES = dict(
    panoptic_torchmetrics=1e-4,  # it counts in single precision
    panoptic_mmdet=1e-9,
    instance_pycocotools=1e-9,
    instance_definition=1e-9,
    semantic_sklearn=1e-9,
    referring_sklearn=1e-9,
    retrieval_torchmetrics=1e-4,
    captions_pycocoevalcap=1e-9,
    tokens_ptb=0.0,
)


@pytest.fixture(scope='module')
def agreement():
    return load_script('benchmarks/metric_agreement.py')


def test_every_comparison_has_a_tolerance(agreement) -> None:
    assert agreement.COMPARISONS.keys() == TOLERANCES.keys()


@pytest.mark.parametrize('name', TOLERANCES)
def test_agreement(agreement, name: str) -> None:
    try:
        difference = agreement.COMPARISONS[name]()
    except ModuleNotFoundError as error:
        pytest.skip(f'{error}; see requirements/tests.txt')
    assert difference <= TOLERANCES[name]
