"""The first fifty losses of a small training of every task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny.curve import FILE, curve


@pytest.fixture(scope='module')
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    return curve(tmp_path_factory.mktemp('curve'))


def test_losses_are_those_of_the_file(steps: list[dict[str, float]]) -> None:
    """``python tests/tiny/curve.py`` writes the file anew, where a change of the numbers is meant.

    Weights that differ in the last bit, as on another processor, change a loss by less than a millionth.
    """
    golden = json.loads(FILE.read_text())
    for name, values in golden['curve'].items():
        assert [step[name] for step in steps] == pytest.approx(values, rel=1e-4), name
    assert steps[-1] == pytest.approx(golden['last'], rel=1e-3)


def test_every_task_is_in_it_and_learns(steps: list[dict[str, float]]) -> None:
    for name in ('cls', 'mask', 'dice', 'noun', 'grounding_cls', 'grounding_mask', 'grounding_dice', 'vqa'):
        assert sum(step[f'segments.loss_{name}'] for step in steps) > 0
    for name in ('captioning', 'retrieval', 'retrieval_backbone'):
        assert sum(step[f'captions.loss_{name}'] for step in steps) > 0
    first, last = (sum(step['loss'] for step in part) for part in (steps[:10], steps[-10:]))
    assert last < 0.99 * first


def test_the_same_training_again_is_exactly_the_same(steps: list[dict[str, float]], tmp_path: Path) -> None:
    assert curve(tmp_path, **{'train_cfg.max_iters': 12}) == steps[:12]
