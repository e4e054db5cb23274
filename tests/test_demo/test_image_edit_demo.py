import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny.inpainting import save_inpainting_pipeline
from tiny.tools import load_script

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'demo' / 'image_edit_demo.py'


@pytest.fixture(scope='module')
def demo():
    return load_script('demo/image_edit_demo.py')


@pytest.fixture(scope='module')
def arguments(tmp_path_factory):
    """A tiny model for phrases, without the pipeline."""
    cfg = Config.fromfile(str(ROOT / 'configs' / 'xdecoder' / 'xdecoder_focal-nano.py'))
    cfg.model.text_encoder.update(num_layers=1)
    cfg.model.tasks = dict(referring=dict(type='ReferringTask'))
    cfg.pop('task_pipelines', None)
    cfg.inference_pipeline = [
        dict(type='LoadXDetImage'),
        dict(type='ResizeShortestEdge', scale=64, max_size=96),
        dict(type='PackXDetInputs', test_mode=True),
    ]
    folder = tmp_path_factory.mktemp('model')
    cfg.dump(str(folder / 'tiny.py'))
    blocks = np.random.RandomState(0).randint(0, 255, (3, 4, 3), np.uint8)
    cv2.imwrite(str(folder / 'street.png'), cv2.resize(blocks, (80, 60), interpolation=cv2.INTER_NEAREST))
    model = ['--model', str(folder / 'tiny.py'), '--random-weights', '--device', 'cpu']
    return [str(folder / 'street.png'), '--phrase', 'a red block', *model]


def test_edited_picture_and_mask(demo, arguments, tmp_path, capsys):
    for name in ('diffusers', 'transformers'):
        pytest.importorskip(name, reason=f'{name} is not installed (pip install -r requirements/edit.txt)')
    pipeline = save_inpainting_pipeline(tmp_path / 'pipeline')
    torch.manual_seed(0)
    options = ['--pipeline', str(pipeline), '--size', '64', '--steps', '2', '--seed', '0', '--out-dir', str(tmp_path)]
    assert demo.main([*arguments, *options]) == 0
    assert 'a red block' in capsys.readouterr().out
    before, after = cv2.imread(arguments[0]), cv2.imread(str(tmp_path / 'street_edited.png'))
    mask = cv2.imread(str(tmp_path / 'street_mask.png'), cv2.IMREAD_UNCHANGED)
    assert before.shape == after.shape and (before != after).any()
    assert mask.shape == (60, 80) and mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}


def test_removing_needs_no_pipeline(demo, arguments, tmp_path, capsys):
    assert demo.main([*arguments, '--size', '64', '--dilation', '1', '--out-dir', str(tmp_path)]) == 0
    before, after = cv2.imread(arguments[0]), cv2.imread(str(tmp_path / 'street_edited.png'))
    assert before.shape == after.shape and (before != after).any()
    assert demo.main([*arguments, '--prompt', 'a cat']) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == 'error: --prompt needs an inpainting pipeline; give --pipeline FOLDER'


def test_missing_pipeline(demo, arguments, capsys):
    assert demo.main([*arguments, '--pipeline', 'missing']) == 2
    stderr = capsys.readouterr().err.strip().splitlines()
    assert stderr[-1] == "error: inpainting pipeline 'missing' is not a folder; give one that diffusers saved"


def test_help_needs_no_library():
    result = subprocess.run([sys.executable, str(SCRIPT), '-h'], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and '--pipeline' in result.stdout
