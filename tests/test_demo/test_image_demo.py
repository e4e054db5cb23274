import io
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

from xdet.model_zoo import EMBEDDED

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'demo' / 'image_demo.py'


@pytest.fixture(scope='module')
def demo():
    return load_script('demo/image_demo.py')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Arguments that choose a tiny model which finds segments although it is untrained."""
    cfg = Config.fromfile(str(ROOT / 'configs' / 'xdecoder' / 'xdecoder_focal-nano.py'))
    cfg.model.text_encoder.update(num_layers=1)
    cfg.model.tasks.segmentation.update(object_mask_threshold=0.0, overlap_threshold=0.0)
    cfg.model.tasks.vqa = dict(type='VQATask', answers=['red', 'two'], embed_dims=128)
    cfg.inference_pipeline = [
        dict(type='LoadXDetImage'),
        dict(type='ResizeShortestEdge', scale=64, max_size=96),
        dict(type='PackXDetInputs', test_mode=True),
    ]
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    cfg.dump(str(path))
    return ['--model', str(path), '--random-weights', '--device', 'cpu']


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'street.png'
    cv2.imwrite(str(path), np.random.RandomState(0).randint(0, 255, (60, 80, 3), np.uint8))
    return path


def test_tells_what_was_found_and_where_it_lies(demo, model, image, tmp_path, capsys):
    out = tmp_path / 'out'
    torch.manual_seed(0)
    code = demo.main(
        [str(image), *model, '--task', 'semantic', '--things', 'dog . cat', '--stuff', 'sky', '--out-dir', str(out)]
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert str(image) in printed and 'area' in printed and str(out / 'vis') in printed
    assert cv2.imread(str(out / 'vis' / 'street.png')) is not None
    assert json.loads((out / 'preds' / 'street.json').read_text())['classes'] == ['dog', 'cat', 'sky']


@pytest.mark.parametrize(
    'arguments, told',
    [
        (['refseg', '--phrases', 'the red car . a person 🐶'], ['the red car', 'a person 🐶', 'area']),
        (['caption', '--num-beams', '2', '--num-texts', '2', '--max-tokens', '3', '--length-penalty', '0'], []),
        (['caption', '--top-p', '0.9', '--seed', '3', '--temperature', '0.5', '--max-tokens', '3'], []),
        (['refcaption', '--boxes', '0 0 20 20; 5,5,50,30', '--max-tokens', '3'], ['1  at x 0 y 0, 20 x 20 pixels']),
        (['refcaption', '--phrases', 'a car', '--max-tokens', '3'], ['1  a car']),
        (['vqa', '--questions', 'which color? . how many?'], ['which color?', 'how many?', 'red', 'two']),
        (['classification', '--classes', 'street . beach'], ['street', 'beach']),
        (['retrieval', '--texts', 'a dog'], ["best for 'a dog':", 'rankings in']),
    ],
)
def test_every_task(demo, model, image, tmp_path, capsys, arguments, told):
    out = tmp_path / 'out'
    torch.manual_seed(0)
    assert demo.main([str(image), *model, '--out-dir', str(out), '--task', *arguments]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in (str(image), *told))
    assert json.loads((out / 'preds' / 'street.json').read_text(encoding='utf-8'))['task'] == arguments[0]
    assert cv2.imread(str(out / 'vis' / 'street.png')) is not None


def test_masks_from_files(demo, model, image, tmp_path, capsys):
    for name, rows in (('top.png', slice(0, 30)), ('all.png', slice(0, 60))):
        mask = np.zeros((60, 80), np.uint8)
        mask[rows] = 255
        cv2.imwrite(str(tmp_path / name), mask)
    masks = ['--mask', str(tmp_path / 'top.png'), '--mask', str(tmp_path / 'all.png')]
    task = ['--task', 'refcaption', '--max-tokens', '2', '--out-dir', str(tmp_path / 'out')]
    assert demo.main([str(image), *model, *task, *masks]) == 0
    assert '2  at x 0 y 0, 80 x 60 pixels' in capsys.readouterr().out


@pytest.mark.parametrize('boxes', ['1 2 3', 'a b c d', ''])
def test_wrong_boxes(demo, image, capsys, boxes):
    with pytest.raises(SystemExit) as caught:
        demo.main([str(image), '--task', 'refcaption', '--boxes', boxes])
    assert caught.value.code == 2 and 'x1 y1 x2 y2' in capsys.readouterr().err


def test_several_pictures_go_on_past_a_bad_one(demo, model, image, tmp_path, caplog):
    (tmp_path / 'bad.jpg').write_bytes(b'no image')
    arguments = [*model, '--classes', 'dog', '--out-dir', str(tmp_path / 'out')]
    assert demo.main([str(tmp_path), *arguments]) == 1
    assert 'bad.jpg: not an image' in caplog.text
    assert (tmp_path / 'out' / 'vis' / 'street.png').is_file()
    assert demo.main([str(tmp_path / 'bad.jpg'), str(tmp_path / 'missing.jpg'), *arguments]) == 2


def error_line(demo, arguments, capsys):
    assert demo.main(arguments) == 2
    stderr = capsys.readouterr().err.strip()
    assert '\n' not in stderr and stderr.startswith('error: ')
    return stderr


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--classes', 'dog', '--task', 'panoptics'], "unknown task 'panoptics'"),
        (['--classes', 'dog . dog'], 'more than once: dog'),
        (['--classes', ''], 'empty'),
        ([], 'no class names'),
        (['--vocabulary', 'coco'], 'coco_panoptic'),
        (['--task', 'refseg'], "task 'refseg' needs phrases"),
        (['--task', 'refseg', '--phrases', ''], 'phrases: no text given'),
        (['--task', 'caption', '--questions', 'why?'], 'does not take questions'),
        (['--task', 'caption', '--num-beams', '0'], 'num_beams is 0'),
        (['--task', 'refcaption', '--boxes', '90 0 95 5'], 'covers no pixel of the image, which is 80x60'),
        (['--task', 'refcaption', '--phrases', 'a', '--boxes', '0 0 5 5'], 'takes one of phrases, boxes, masks'),
        (['--task', 'vqa', '--questions', 'why?', '--top-p', '0.5'], 'does not take top_p'),
        (['--classes', 'dog', '--batch-size', '0'], 'batch_size is 0'),
        (['--classes', 'dog', '--device', 'gpu'], "device 'gpu' is unknown"),
        (['--classes', 'dog', '--weights', 'w.pth'], 'not both'),
    ],
)
def test_wrong_arguments(demo, model, image, tmp_path, capsys, arguments, message):
    arguments = [str(image), *model, *arguments, '--out-dir', str(tmp_path / 'out')]
    assert message in error_line(demo, arguments, capsys)
    assert not list((tmp_path / 'out').rglob('*.*'))


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--model', 'xdecoder_focal_t'], 'did you mean xdecoder_focal-t'),
        (['--model', 'xdecoder_focal-nano'], 'no weights for xdecoder_focal-nano'),
        (['--model', 'xdecoder_focal-nano', '--weights', 'missing.pth'], "'missing.pth' does not exist"),
        (['--weights', 'own.pth'], 'without a model'),
    ],
)
def test_wrong_models(demo, image, capsys, arguments, message):
    assert message in error_line(demo, [str(image), *arguments], capsys)


@pytest.mark.parametrize('name', ['missing.jpg', 'empty.jpg', 'text.png'])
def test_wrong_images(demo, model, tmp_path, capsys, name):
    (tmp_path / 'empty.jpg').write_bytes(b'')
    (tmp_path / 'text.png').write_text('hello')
    line = error_line(
        demo, [str(tmp_path / name), *model, '--classes', 'dog', '--out-dir', str(tmp_path / 'o')], capsys
    )
    assert str(tmp_path / name) in line


def test_tasks_of_the_model_are_listed(demo, image, capsys):
    line = error_line(demo, [str(image), '--task', 'edit', '--device', 'cpu'], capsys)
    assert "unknown task 'edit'; accepted are semantic, instance, panoptic" in line


def test_terminal_that_knows_few_letters(demo, model, image, tmp_path, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding='ascii')
    monkeypatch.setattr(sys, 'stdout', terminal)
    arguments = ['--task', 'refseg', '--phrases', 'ein grüner Käfer 🐶', '--out-dir', str(tmp_path / 'out')]
    assert demo.main([str(image), *model, *arguments]) == 0
    terminal.flush()
    assert b'ein gr?ner K?fer ?' in terminal.buffer.getvalue()


def test_debug_shows_where(demo, image):
    with pytest.raises(FileNotFoundError):
        demo.main([str(image), '--model', 'nothing', '--debug'])


def test_help_needs_no_library():
    result = subprocess.run([sys.executable, str(SCRIPT), '-h'], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and '--phrases' in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 120


def test_model_of_the_package_says_what_it_knows(demo, tmp_path, capsys):
    """Without --model: photographs."""
    photograph = ROOT / 'demo' / 'photos' / 'chelsea.jpg'
    assert demo.main([str(photograph), '--out-dir', str(tmp_path), '--device', 'cpu']) == 0
    printed = capsys.readouterr()
    assert f'note: {EMBEDDED["photos"].knows}\n' in printed.err
    assert '  cat  ' in printed.out and f'images in {tmp_path / "vis"}\n' in printed.out
