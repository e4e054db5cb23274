import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny.tools import load_script

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'demo' / 'retrieval_demo.py'


@pytest.fixture(scope='module')
def demo():
    pytest.importorskip('faiss', reason='faiss is not installed (pip install -r requirements/retrieval.txt)')
    return load_script('demo/retrieval_demo.py')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Arguments that choose a tiny model with the tasks the demo needs; weights that every run shares."""
    from xdet.apis import XDecoderInferencer

    cfg = Config.fromfile(str(ROOT / 'configs' / 'xdecoder' / 'xdecoder_focal-nano.py'))
    cfg.model.text_encoder.update(num_layers=1)
    cfg.model.tasks = dict(
        referring=dict(type='ReferringTask'),
        retrieval=dict(type='RetrievalTask', backbone_channels=256, embed_dims=128),
    )
    cfg.inference_pipeline = [
        dict(type='LoadXDetImage'),
        dict(type='ResizeShortestEdge', scale=64, max_size=96),
        dict(type='PackXDetInputs', test_mode=True),
    ]
    cfg.pop('task_pipelines', None)
    folder = tmp_path_factory.mktemp('model')
    cfg.dump(str(folder / 'tiny.py'))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        inferencer = XDecoderInferencer(cfg, random_weights=True, device='cpu')
    torch.save(inferencer.model.state_dict(), folder / 'tiny.pth')
    return ['--model', str(folder / 'tiny.py'), '--weights', str(folder / 'tiny.pth'), '--device', 'cpu']


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for seed in range(3):
        blocks = np.random.RandomState(seed).randint(0, 255, (3, 4, 3), np.uint8)
        cv2.imwrite(str(folder / f'{seed}.png'), cv2.resize(blocks, (60, 45), interpolation=cv2.INTER_NEAREST))
    return folder


def run(demo, model, tmp_path, *arguments):
    return demo.main([*map(str, arguments), *model, '--index', str(tmp_path / 'index'), '--out-dir', str(tmp_path)])


def test_pictures_for_texts_with_regions(demo, model, photos, tmp_path, capsys):
    texts = ['--text', 'a red block', '--text', 'Häuser 🙂']
    assert run(demo, model, tmp_path, photos, *texts, '-k', 2) == 0
    plain = json.loads((tmp_path / 'rankings.json').read_text(encoding='utf-8'))
    assert [row['query'] for row in plain['rankings']] == ['a red block', 'Häuser 🙂'] and plain['failed'] == {}
    assert '3 images in index' in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / 'ranking_1.png'))
    assert cv2.imread(str(tmp_path / 'ranking_2.png')) is not None

    assert run(demo, model, tmp_path, photos, '--text', 'a red block', '-k', 2, '--region') == 0
    (row,) = json.loads((tmp_path / 'rankings.json').read_text(encoding='utf-8'))['rankings']
    assert [hit['path'] for hit in row['hits']] == [hit['path'] for hit in plain['rankings'][0]['hits']]
    assert [hit['mask']['size'] for hit in row['hits']] == [[45, 60]] * 2
    assert 'region' in capsys.readouterr().out
    marked = cv2.imread(str(tmp_path / 'ranking_1.png'))
    assert marked.shape == sheet.shape and (marked != sheet).any()


def test_unreadable_pictures_are_told(demo, model, photos, tmp_path, caplog):
    (photos / 'bad.jpg').write_bytes(b'no image')
    assert run(demo, model, tmp_path, photos, '--text', 'a red block', '--min-score', 2) == 1
    content = json.loads((tmp_path / 'rankings.json').read_text(encoding='utf-8'))
    assert content['rankings'][0]['hits'] == [] and list(content['failed']) == [str(photos / 'bad.jpg')]
    assert 'bad.jpg: not an image' in caplog.text


def test_a_picture_that_is_gone_is_found_but_not_drawn(demo, model, photos, tmp_path, capsys):
    assert run(demo, model, tmp_path, photos, '--text', 'a red block') == 0
    (photos / '1.png').unlink()
    capsys.readouterr()
    assert run(demo, model, tmp_path, '--text', 'a red block') == 0
    told = capsys.readouterr()
    assert 'warning: not drawn: ' in told.err and str(photos / '1.png') in told.err
    rankings = json.loads((tmp_path / 'rankings.json').read_text(encoding='utf-8'))['rankings']
    assert len(rankings[0]['hits']) == 3 and cv2.imread(str(tmp_path / 'ranking_1.png')) is not None


def test_texts_for_pictures(demo, model, photos, tmp_path, capsys):
    (tmp_path / 'texts.txt').write_text('a red block\nnight\n')
    assert run(demo, model, tmp_path, tmp_path / 'texts.txt', '--image', photos / '0.png') == 0
    (row,) = json.loads((tmp_path / 'rankings.json').read_text(encoding='utf-8'))['rankings']
    assert {hit['text'] for hit in row['hits']} == {'a red block', 'night'}
    assert 'texts.txt:2' in capsys.readouterr().out


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['missing', '--text', 'x'], "folder 'missing' does not exist"),
        (['missing', '--image', 'x.png'], "'missing' does not exist"),
        (['PHOTOS', '--text', ' '], 'is empty'),
        (['PHOTOS', '--text', 'x', '-k', '0'], 'k is 0'),
    ],
)
def test_wrong_arguments(demo, model, photos, tmp_path, capsys, arguments, message):
    assert run(demo, model, tmp_path, *(str(photos) if item == 'PHOTOS' else item for item in arguments)) == 2
    stderr = capsys.readouterr().err.strip().splitlines()
    assert stderr[-1].startswith('error: ') and message in stderr[-1]


def test_help_needs_no_library():
    result = subprocess.run([sys.executable, str(SCRIPT), '-h'], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and '--region' in result.stdout
