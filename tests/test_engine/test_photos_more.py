"""The config of photographs with more sources: each builds from small data of its layout, and all train together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from tiny.photos import NAMES, write_more, write_photos

from xdet.analysis.subject import import_components
from xdet.engine.runner import XDetRunner
from xdet.model_zoo import find_config, load_config

SOURCES = ('stuff', 'streets', 'anything', 'boxes')


@pytest.fixture
def cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_config: Config) -> Config:
    write_more(tmp_path / 'coco', tmp_path / 'camvid')
    monkeypatch.setenv('COCO_ROOT', f'{tmp_path / "coco"}/')
    monkeypatch.setenv('CAMVID_ROOT', f'{tmp_path / "camvid"}/')
    cfg = load_config(find_config('xdecoder_lite0-nano_joint-photos-more'))
    cfg.train_dataloader.anything.dataset.dataset.metainfo = dict(classes=['dog'])
    tasks = cfg.model.tasks
    segmentation = dict(tasks.segmentation, loss=dict(tasks.segmentation.loss, num_points=64))
    segmentation['pixel_names'] = dict(type='PixelNames', embed_dims=32, maps=dict(memory_0=32, backbone_3=64))
    cfg.model = dict(tiny_config.model, tasks=dict(segmentation=segmentation, referring=tasks.referring))
    cfg.work_dir = str(tmp_path / 'work')
    for part in ('val', 'test'):
        cfg[f'{part}_dataloader'] = cfg[f'{part}_cfg'] = cfg[f'{part}_evaluator'] = None
    for loader in cfg.train_dataloader.values():
        loader.update(num_workers=0, persistent_workers=False)
        for step in loader.dataset.dataset.pipeline:
            if step.type == 'LargeScaleJitter':
                step.size = (64, 64)
    cfg.train_dataloader.update(segments=None, pairs=None, scenes=None)
    return cfg


def test_new_sources_train_together_for_two_steps(cfg: Config) -> None:
    cfg.train_cfg.max_iters = 2
    import_components()
    with DefaultScope.overwrite_default_scope('xdet'):
        runner = XDetRunner.from_cfg(cfg)
        before = {name: value.clone() for name, value in runner.model.state_dict().items()}
        runner.train()
    assert list(runner.train_dataloader.loaders) == list(SOURCES)
    logged = runner.message_hub.log_scalars
    assert all(f'train/{name}.loss_cls' in logged for name in SOURCES)
    assert 'train/boxes.loss_projection' in logged and 'train/boxes.loss_affinity' in logged
    assert any('grounding' in name for name in logged if name.startswith('train/stuff.'))
    changed = [name for name, value in runner.model.state_dict().items() if not torch.equal(value, before[name])]
    assert any(name.startswith('decoder.') for name in changed)


def test_images_with_masks_are_not_taken_for_their_boxes(cfg: Config) -> None:
    import_components()
    from xdet.registry import DATASETS

    boxes, stuff = (DATASETS.build(cfg.train_dataloader[name].dataset.dataset) for name in ('boxes', 'stuff'))
    assert [data.get_data_info(0)['img_id'] for data in (boxes, stuff)] == [2, 1] and len(boxes) == len(stuff) == 1


def test_last_stage_sees_several_of_a_class_oftener(cfg: Config, tmp_path: Path, monkeypatch) -> None:
    """All photographs, five times those with two animals of a class, and thirteen times those of anything."""
    monkeypatch.setenv('PHOTOS_ROOT', f'{write_photos(tmp_path / "photos", alike=1)}/')
    last = load_config(find_config('xdecoder_lite0-nano_joint-photos-several'))
    import_components()
    together = last.train_dataloader.segments.dataset.dataset
    for part in together.datasets:
        part.dataset.pop('metainfo', None)
    with DefaultScope.overwrite_default_scope('xdet'):
        from xdet.registry import DATASETS

        parts = DATASETS.build(together).datasets
        assert [len(part) for part in parts[1:]] == [5 * 1, 13 * 2] and len(parts[0]) >= 3
        described, instance = parts[1][0]['data_samples'], parts[2][0]['data_samples']
    assert len(described.gt_segments) == 2 and described.gt_segments.labels.unique().tolist() == [NAMES.index('dog')]
    assert described.metainfo['caption'] == 'two dogs' and 'caption' not in instance.metainfo
