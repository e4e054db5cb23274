"""The dataset configs read data and give batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
COCO_FILES = {'coco_panoptic': 'panoptic_{}2017.json', 'coco_instance': 'instances_{}2017.json'}


def load(name: str, root: Path) -> Config:
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    cfg.train_dataloader.dataset.dataset.update(data_root=str(root), serialize_data=False)
    cfg.val_dataloader.dataset.update(data_root=str(root), serialize_data=False)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
    return cfg


def batches(cfg: Config) -> tuple[dict, dict]:
    return tuple(next(iter(Runner.build_dataloader(cfg[f'{split}_dataloader'], seed=0))) for split in ('train', 'val'))


@pytest.fixture
def coco_root(tiny_coco) -> Path:
    root = tiny_coco.root
    (root / 'annotations').mkdir()
    for split in ('train', 'val'):
        (root / f'{split}2017').symlink_to(root / 'img')
        (root / f'panoptic_{split}2017').symlink_to(root / 'seg')
        tiny_coco.write(f'annotations/panoptic_{split}2017.json', tiny_coco.panoptic)
        tiny_coco.write(f'annotations/instances_{split}2017.json', tiny_coco.instances)
    return root


def test_coco_panoptic(coco_root: Path) -> None:
    train, val = batches(load('coco_panoptic', coco_root))
    assert [tuple(image.shape) for image in train['inputs']] == [(3, 1024, 1024)] * 2
    assert all(tuple(sample.gt_segments.masks.shape[1:]) == (1024, 1024) for sample in train['data_samples'])
    assert [tuple(image.shape) for image in val['inputs']] == [(3, 800, 1067)] * 2
    assert val['data_samples'][0].gt_panoptic_seg.sem_seg.shape == (1, 6, 8)


def test_coco_instance(coco_root: Path) -> None:
    cfg = load('coco_instance', coco_root)
    train, val = batches(cfg)
    assert train['data_samples'][0].gt_segments.masks.shape[1:] == (1024, 1024)
    assert val['data_samples'][0].tasks == ('instance',) and val['data_samples'][0].img_id == 11


@pytest.mark.parametrize(('name', 'height', 'width'), [('folder_semantic', 512, 683), ('camvid', 360, 480)])
def test_folders(tmp_path: Path, name: str, height: int, width: int) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / 'classes.json').write_text('["sky", "building", "pole"]')
    for split in ('train', 'val'):
        for kind, suffix in (('images', 'jpg'), ('labels', 'png')):
            (tmp_path / kind / split).mkdir(parents=True)
            for number in range(2):
                shape = (90, 120, 3) if kind == 'images' else (90, 120)
                pixels = generator.integers(0, 3, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / kind / split / f'{number}.{suffix}')
    train, val = batches(load(name, tmp_path))
    assert len(train['data_samples'][0].gt_segments) == 3
    assert tuple(val['inputs'][0].shape) == (3, height, width)
    assert val['data_samples'][0].gt_sem_seg.sem_seg.shape == (1, 90, 120)


@pytest.mark.parametrize('name', ['coco_panoptic', 'coco_instance', 'folder_semantic', 'camvid'])
def test_missing_data_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        DATASETS.build(load(name, tmp_path).train_dataloader.dataset)
