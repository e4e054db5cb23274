"""Joint training on sets in the layouts of real ones: every source is learned from, every test set is measured."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from tiny.tools import ROOT, run_tool

from xdet.model_zoo import find_config

CONFIG = 'xdecoder_focal-nano_joint-real'
WEIGHTS = ROOT / 'xdet' / 'assets' / 'embedded_default.safetensors'
SIZE = 24
SQUARE = [[2.0, 2.0, 14.0, 2.0, 14.0, 14.0, 2.0, 14.0]]


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A red square on green, in the layout of every set, and the environment variables that say where."""
    for name in ('coco', 'camvid', 'clothing', 'flickr', 'refcoco', 'vqa'):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f'{name.upper()}_ROOT', f'{tmp_path / name}/')
    labels = np.ones((SIZE, SIZE), np.uint8)
    labels[2:14, 2:14] = 0
    picture = np.array([[220, 30, 30], [40, 160, 50]], np.uint8)[labels]
    ids = np.stack([labels + 1, 0 * labels, 0 * labels], axis=-1)
    for split in ('train', 'val'):
        save(tmp_path / 'coco' / f'{split}2017' / '000000000007.jpg', picture)
        save(tmp_path / 'coco' / f'panoptic_{split}2017' / '000000000007.png', ids)
        write(tmp_path / 'coco' / 'annotations' / f'panoptic_{split}2017.json', panoptic())
        for name in ('camvid', 'clothing'):
            save(tmp_path / name / 'images' / split / 'a.jpg', picture)
            save(tmp_path / name / 'labels' / split / 'a.png', labels)
            write(tmp_path / name / 'classes.json', ['bag', 'grass'])
    write(tmp_path / 'coco' / 'annotations' / 'captions_train2017.json', captions('000000000007.jpg'))
    save(tmp_path / 'flickr' / 'images' / 'f.jpg', picture)
    write(tmp_path / 'flickr' / 'captions.json', captions('f.jpg'))
    for name in ('refcoco_unc', 'refcocop_unc', 'refcocog_umd'):
        expression = dict(image_id=7, segmentation=SQUARE, sentences=[dict(raw='the red square')], split='val')
        write(tmp_path / 'refcoco' / f'{name}.json', dict(images=[image('x.jpg')], annotations=[expression]))
    question = dict(question_id=1, image_id=7, question='Is this a square?')
    write(tmp_path / 'vqa' / 'questions.json', dict(questions=[question]))
    answers = [dict(answer='yes')] * 9 + [dict(answer='no')]
    annotation = dict(question_id=1, image_id=7, answers=answers, answer_type='yes/no')
    write(tmp_path / 'vqa' / 'annotations.json', dict(annotations=[annotation]))
    return tmp_path


def image(name: str) -> dict:
    return dict(id=7, file_name=name, height=SIZE, width=SIZE)


def panoptic() -> dict:
    categories = [dict(id=1, name='bag', isthing=1), dict(id=2, name='grass', isthing=0)]
    segments = [dict(id=number, category_id=number, iscrowd=0) for number in (1, 2)]
    annotation = dict(image_id=7, file_name='000000000007.png', segments_info=segments)
    return dict(images=[image('000000000007.jpg')], annotations=[annotation], categories=categories)


def captions(name: str) -> dict:
    return dict(images=[image(name)], annotations=[dict(image_id=7, caption='A red square on the grass.')])


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write(path: Path, content: dict | list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_sources_are_trained_and_reported(
    sets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    short = ('train_cfg.max_iters=1', 'train_cfg.val_interval=9', 'param_scheduler.0.end=1')
    options = ('--cfg-options', 'default_hooks.logger.interval=1', 'train_dataloader.pairs.batch_size=2', *short)
    run_tool('train', CONFIG, '--weights', WEIGHTS, '--work-dir', sets / 'run', *options)
    benchmark = runpy.run_path(str(ROOT / 'benchmarks' / 'joint_real.py'))
    monkeypatch.setattr(sys, 'argv', ['joint_real', 'losses', str(sets / 'run')])
    capsys.readouterr()
    benchmark['main']()
    reported = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    expected = {
        'panoptic.loss_cls', 'panoptic.loss_mask', 'panoptic.loss_dice', 'panoptic.loss_grounding_mask',
        'semantic.loss_cls', 'semantic.loss_mask', 'semantic.loss_dice',
        'pairs.loss_captioning', 'pairs.loss_retrieval', 'pairs.loss_retrieval_backbone',
        'referring.loss_grounding_cls', 'referring.loss_grounding_mask', 'referring.loss_grounding_dice',
        'questions.loss_vqa',
    }  # fmt: skip
    assert expected <= reported.keys()
    assert all(len(values.split()) == 3 for values in reported.values())

    tested = ('coco-val', 'refcoco-train', 'vqa-train')
    pairs = f'own={sets / "flickr"}'
    scenes = f'folder={sets / "clothing" / "val"}'
    arguments = ['test', str(WEIGHTS), *tested, 'own', 'folder', '--captions', pairs, '--semantic', scenes]
    monkeypatch.setattr(sys, 'argv', ['joint_real', *arguments])
    benchmark['main']()
    output = capsys.readouterr().out
    for name, metric in zip(
        (*tested, 'own', 'folder'),
        ('panoptic/PQ', 'referring/cIoU', 'vqa/accuracy', 'caption/CIDEr-D', 'semantic/mIoU'),
        strict=True,
    ):
        assert any(line.startswith(f'{name} (1 images)') and metric in line for line in output.splitlines()), output


def test_first_pictures_only(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``PICTURES`` limits every set, without augmentation, and tests on the same pictures."""
    monkeypatch.setenv('PICTURES', '8')
    cfg = Config.fromfile(find_config(CONFIG))
    sources = cfg.train_dataloader.values()
    datasets = [source.dataset.dataset for source in sources]
    parts = [part for dataset in datasets for part in dataset.get('datasets', [dataset])]
    assert len(parts) == 9 and all(part.indices == 8 for part in parts)
    kinds = {step.type for part in parts for step in part.pipeline}
    assert 'LargeScaleJitter' not in kinds and 'mmdet.Resize' in kinds
    tested = [chosen for name, chosen in cfg.test_sets.items() if name.endswith('-train')]
    assert all(chosen.dataset.indices == 8 for chosen in tested)
