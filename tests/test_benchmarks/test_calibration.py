"""Thresholds are judged on images that they were not learned from, and rates are kept on average."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from xdet.inference.names.calibration import Case, Finding

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / 'benchmarks' / 'calibration.py'))


def findings(rng: np.random.Generator, count: int, least: float) -> list[Finding]:
    made = []
    for _ in range(count):
        present, absent = rng.uniform(0.3, 1, 2), rng.uniform(0, 0.7, 8)
        made.append(Finding(present, absent, present > least, absent > least))
    return made


def test_rules_are_judged_on_the_other_half() -> None:
    found = findings(np.random.default_rng(0), 80, least=0.5)
    rows = TOOL['judge'](found, found, [0.1], halves=60, seed=0)
    assert list(rows) == ['own rule', 'equal recall', 'alpha 10 %']
    assert rows['alpha 10 %']['false_per_image'] < 0.11 and 0.55 < rows['alpha 10 %']['presence'] < 0.7
    assert rows['equal recall']['recall'] == pytest.approx(rows['own rule']['recall'], abs=0.02)
    strict = findings(np.random.default_rng(0), 80, least=0.6)
    # At the recall of others, not at its own.
    assert TOOL['judge'](found, strict, [0.1], 5, 0)['equal recall']['recall'] < rows['own rule']['recall'] - 0.05
    lines = TOOL['table']({'all names': rows}).splitlines()
    assert len(lines) == 5 and lines[2].startswith('| all names | own rule |') and lines[3].startswith('|  | equal')


def test_scenes_say_what_is_there(tmp_path: Path) -> None:
    cases = TOOL['scene_cases'](tmp_path, 3, seed=0)
    for names, phrases in zip(cases['names'], cases['phrases'], strict=True):
        assert Path(names.image).is_file() and len({*names.present, *names.absent}) == 55
        assert {phrase.removeprefix('the ') for phrase in phrases.present} == set(names.present)
        assert {phrase.removeprefix('the ') for phrase in phrases.absent} <= set(names.absent)
        assert len(phrases.absent) == len(phrases.present)


def test_images_are_spread() -> None:
    cases = [Case(str(number), (), ()) for number in range(11)]
    assert [case.image for case in TOOL['spread'](cases, 3)] == ['0', '5', '10']
    assert TOOL['spread'](cases, 20) == cases
