import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'demo' / 'image_demo.py'


@pytest.fixture(scope='module')
def demo():
    spec = importlib.util.spec_from_file_location('image_demo', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Arguments that choose a tiny model which finds segments although it is untrained."""
    cfg = Config.fromfile(str(ROOT / 'configs' / 'xdecoder' / 'xdecoder_focal-nano.py'))
    cfg.model.text_encoder.update(num_layers=1)
    cfg.model.tasks.segmentation.update(object_mask_threshold=0.0, overlap_threshold=0.0)
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
        (['--classes', 'dog', '--batch-size', '0'], 'batch_size is 0'),
        (['--classes', 'dog', '--device', 'gpu'], "device 'gpu' is unknown"),
        (['--classes', 'dog', '--weights', 'w.pth'], 'not both'),
    ],
)
def test_wrong_arguments(demo, model, image, tmp_path, capsys, arguments, message):
    arguments = [str(image), *model, *arguments, '--out-dir', str(tmp_path / 'out')]
    assert message in error_line(demo, arguments, capsys)
    assert not (tmp_path / 'out').exists()


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


def test_debug_shows_where(demo, image):
    with pytest.raises(FileNotFoundError):
        demo.main([str(image), '--model', 'nothing', '--debug'])


def test_help_needs_no_library():
    result = subprocess.run([sys.executable, str(SCRIPT), '-h'], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and '--things' in result.stdout
