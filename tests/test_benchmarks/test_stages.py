"""The benchmark of stages: what it runs, compares and counts."""

from __future__ import annotations

import importlib
import json
import math
from typing import Any

import pytest
import torch
from tiny.tools import ROOT

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT / 'benchmarks')  # as for `python benchmarks/stages.py`
    stages, stages_model = (importlib.import_module(name) for name in ('stages', 'stages_model'))


class Local:
    """A worker in this process."""

    def __init__(self, measured: stages_model.Stages) -> None:
        self._object, self.stages = measured, list(measured.runs)

    def ask(self, method: str, *arguments: str) -> Any:
        return json.loads(json.dumps(getattr(self._object, method)(*arguments)))


@pytest.fixture(scope='module')
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    threads = torch.get_num_threads()
    sizes = dict(image=[40, 90], phrases=[32, 40], caption=[32, 40])
    # Not those of instances: they are ordered by their scores, of which close ones may change places.
    only = ['backbone', 'pixel*', 'decoder*', '10 *', 'panoptic*', 'semantic*', 'caption*', 'whole*', 'training*']
    only += stages.RATES
    settings = dict(sizes=sizes, names=2, tokens=[2], train_sizes=[64, 32], only=only)
    first, second = (Local(stages_model.Stages('xdecoder_focal-nano', **settings)) for _ in range(2))
    workers = {stages.THERE: first, stages.HERE: second}
    found = stages.compare(workers, 1, tmp_path_factory.mktemp('results'))
    torch.set_num_threads(threads)
    return found


def test_every_stage_of_every_task(rows):
    names = [row['stage'] for row in rows]
    expected = 'backbone', 'pixel decoder', 'panoptic, 2 names', '10 phrases', 'caption of 2 tokens', 'training step'
    assert {'whole panoptic, 2 names', 'whole 10 phrases jointly', 'whole caption of 2 tokens', *expected} < set(names)
    assert 'retrieval' not in names
    for row in rows:
        assert row['difference'] < 1e-4, row['stage']
        assert row['gflop'] > 0 and row['this tree'] > 0 and row['revision'] > 0, row['stage']
    by_name = {row['stage']: row for row in rows}
    assert by_name['convolution']['convolutions'] == by_name['convolution']['gflop']
    assert by_name['matrix product']['share'] == pytest.approx(1)
    # Class names were remembered when operations were counted, so they are in no task's; semantic adds its scores up.
    names, panoptic = (by_name[stage]['gflop'] for stage in ('10 class names in all templates', 'panoptic, 2 names'))
    assert panoptic < names / 10 and by_name['semantic, 2 names']['gflop'] > panoptic
    assert by_name['training step']['gflop'] > 2 * by_name['backbone']['gflop']


def test_table(rows):
    lines = stages.table(rows).splitlines()
    assert lines[0].startswith('| stage | revision | this tree | ratio | gflop |')
    assert len(lines) == len(rows) + 2 and len({line.count('|') for line in lines}) == 1


def test_difference():
    difference, ones = stages.difference, torch.ones(4)
    assert difference([ones], [ones]) == 0
    assert difference([ones], [2 * ones]) == pytest.approx(0.5)
    assert difference([ones.bool()], [torch.tensor([True, True, True, False])]) == 0.25
    assert difference([ones], [ones[:2]]) == difference([ones], []) == math.inf


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [(['--against', 'no-such-revision'], 'no revision of this repository'), (['--size', '12'], 'no height x width')],
)
def test_mistakes(arguments, said, capsys):
    with pytest.raises(SystemExit) as error:
        stages.main(arguments)
    assert said in f'{error.value}{capsys.readouterr().err}'
