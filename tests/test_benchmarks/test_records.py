"""Results of a suite: what they depend on, how they are written."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny.tools import ROOT

from xdet.benchmarks import suite
from xdet.benchmarks.records import Record, data_hash
from xdet.benchmarks.suite import plan_suite
from xdet.benchmarks.table import _row


def test_hash_of_the_annotation_files(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    for folder in ('', 'a/'):
        (tmp_path / f'{folder}ann.json').write_text('{}')
        (tmp_path / f'{folder}gt.json').write_text('[]')

    def of(folder: Path) -> str:
        dataset = dict(data_root=str(folder), ann_file='ann.json', type='a.b', n=5)
        metrics = [dict(ann_file=f'{folder}/gt.json')]
        return data_hash(dict(test_dataloader=dict(dataset=dataset), test_evaluator=metrics))

    first = of(tmp_path)
    assert len(first) == 12 and of(tmp_path / 'a') == first, 'it does not matter where the files lie'
    (tmp_path / 'gt.json').write_text('[1]')
    assert of(tmp_path) != first
    assert data_hash(dict(test_dataloader=None, test_evaluator=[])) == ''


def test_cells_of_a_table() -> None:
    assert _row('a|b', 'two\nlines') == r'| a\|b | two lines |'


def test_folders_of_no_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, 'load_benchmark', lambda name: SimpleNamespace(name=name))
    with pytest.raises(ValueError, match="'/x' is for 'coco-2018', which is none of the benchmarks to run: coco-2017"):
        plan_suite(None, ['coco-2017'], data_roots=[('coco-2018', '/x')])


def test_processes_agree_on_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process has no data of b and has not seen that a is finished."""
    agree = runpy.run_path(str(ROOT / 'tools' / 'zeroshot_suite.py'))['agree']
    done = SimpleNamespace(benchmark='a')
    told = [([done], {}), ([], {'b': 'no such folder'})]
    monkeypatch.setitem(agree.__globals__, 'all_gather_object', lambda mine: told)
    for records in ([done], []):
        entries = [SimpleNamespace(name=name, problem='') for name in 'abc']
        left, agreed = agree(entries, records)
        assert agreed == [done] and [(entry.name, entry.problem) for entry in left] == [
            ('b', 'no such folder'),
            ('c', ''),
        ]


def test_records_of_older_versions_have_no_data_hash() -> None:
    assert Record('a', 'a', 'val', 'official', {}, [], 1, 1, 1.0, 'c', 'h', 'c', 'h', 'data').data_hash == ''
