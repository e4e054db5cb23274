"""The tour of all tasks runs on the embedded model and leaves pictures and results of every task."""

import json
import runpy
from pathlib import Path

TOUR = Path(__file__).resolve().parents[2] / 'demo' / 'tour.py'


def test_every_task_leaves_results(tmp_path, capsys):
    main = runpy.run_path(str(TOUR))['main']
    assert main(['--out-dir', str(tmp_path), '--device', 'cpu']) == 0
    folders = {path.name for path in tmp_path.iterdir()}
    tasks = {'panoptic', 'instance', 'semantic', 'refseg', 'caption', 'refcaption', 'vqa', 'classification'}
    tasks.add('retrieval')
    assert folders == tasks
    for task in tasks:
        assert list((tmp_path / task / 'vis').glob('*.png')), task
    found = json.loads((tmp_path / 'refseg' / 'preds' / 'demo_scene.json').read_text())
    assert [segment['phrase'] for segment in found['segments']] == ['the red cross', 'the lowest cross']
    printed = capsys.readouterr().out
    assert all(f'\n{task}\n' in printed for task in tasks)


def test_a_missing_picture_is_one_line(tmp_path, capsys):
    main = runpy.run_path(str(TOUR))['main']
    assert main([str(tmp_path / 'nothing.png'), '--out-dir', str(tmp_path)]) == 2
    assert 'nothing.png' in capsys.readouterr().err
