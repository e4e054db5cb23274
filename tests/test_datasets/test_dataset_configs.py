"""The dataset configs read data and give batches."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from mmengine import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from PIL import Image

from xdet.datasets import Draw
from xdet.scenes import ScenesDataset

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


def test_coco_boxes(coco_root: Path) -> None:
    train, _ = batches(load('coco_boxes', coco_root))
    segments = train['data_samples'][0].gt_segments
    assert segments.boxes.shape[1] == 4 and segments.alike.shape == (4, 256, 256)


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


def write_texts(tiny_coco) -> None:
    """Captions of both pictures, and referring expressions of picture a for training and of b for validation."""
    square = [[0.0, 0.0, 4.0, 0.0, 4.0, 3.0, 0.0, 3.0]]
    annotations = [
        dict(image_id=number, segmentation=square, split=split, sentences=[dict(raw='The left one'), dict(raw='it')])
        for number, split in ((11, 'train'), (12, 'val'))
    ]
    tiny_coco.write('annotations/refcocog_umd.json', dict(images=tiny_coco.images, annotations=annotations))
    captions = [dict(image_id=11, caption='A ball on the table.')]
    tiny_coco.write('annotations/captions_train2017.json', dict(images=tiny_coco.images, annotations=captions))


def test_coco_joint(coco_root: Path, tiny_coco) -> None:
    pytest.importorskip('textblob', reason='extracting nouns needs TextBlob (requirements/data.txt)')
    write_texts(tiny_coco)
    tiny_coco.write('annotations/refcocog_umd_val.json', dict(images=[]))
    tiny_coco.write('annotations/refcocog_umd_test.json', dict(images=[dict(id=99)]))
    samples = {sample.img_id: sample for sample in batches(load('coco_joint', coco_root))[0]['data_samples']}
    assert samples[11].caption == 'A ball on the table.' and samples[11].nouns == ('ball', 'table')
    assert (samples[11].phrase_mode, samples[12].phrase_mode) == ('text', 'class')
    assert samples[12].caption == '' and 'grass' in samples[12].gt_phrases.texts[0]
    assert all(sample.gt_phrases.masks.shape[1:] == (1024, 1024) for sample in samples.values())


def test_refcoco(coco_root: Path, tiny_coco) -> None:
    write_texts(tiny_coco)
    for number, name in ((11, 'a'), (12, 'b')):
        (coco_root / 'img' / f'{name}.png').rename(coco_root / 'img' / f'{number:012d}.jpg')
    train, val = batches(load('refcoco', coco_root))
    assert {sample.img_id for sample in train['data_samples']} == {11} and 'gt_segments' not in train['data_samples'][0]
    (sample,) = val['data_samples']
    assert sample.phrases == ('the left one',) and sample.gt_phrases.masks.shape == (1, 6, 8)


def write_karpathy(coco_root: Path) -> None:
    images = [
        dict(
            filepath='img', filename=f'{name}.png', cocoid=number, split=split, sentences=[dict(raw='A'), dict(raw='B')]
        )
        for number, (name, split) in enumerate((('a', 'train'), ('b', 'restval'), ('a', 'val'), ('b', 'test')))
    ]
    (coco_root / 'annotations' / 'dataset_coco.json').write_text(json.dumps(dict(images=images)))


def test_image_text_pairs(coco_root: Path) -> None:
    write_karpathy(coco_root)
    train, val = batches(load('image_text_pairs', coco_root))
    assert {sample.img_id for sample in train['data_samples']} == {0, 1}
    assert all(tuple(image.shape) == (3, 224, 224) for image in [*train['inputs'], *val['inputs']])
    assert train['data_samples'][0].caption in ('A', 'B') and val['data_samples'][0].captions == ('A', 'B')


def test_webdataset(coco_root: Path) -> None:
    write_karpathy(coco_root)
    with tarfile.open(coco_root / 'pairs.tar', 'w') as shard:
        shard.add(coco_root / 'img' / 'a.png', '0.png')
        member = tarfile.TarInfo('0.txt')
        member.size = 2
        shard.addfile(member, io.BytesIO(b'hi'))
    cfg = load('webdataset', coco_root)
    cfg.train_dataloader.dataset.dataset.pop('serialize_data')
    cfg.train_dataloader.dataset.dataset.shards = 'pairs.tar'
    train, _ = batches(cfg)
    assert [sample.caption for sample in train['data_samples']] == ['hi', 'hi']
    assert 'gt_segments' not in train['data_samples'][0]


def test_photos_joint(coco_root: Path, tiny_coco) -> None:
    for folder, names in (('voc_animals', ('images', 'panoptic')), ('coco_captions', ('images',))):
        for name in names:
            (coco_root / folder / name).mkdir(parents=True)
            for split in ('train', 'val'):
                (coco_root / folder / name / split).symlink_to(coco_root / ('seg' if name == 'panoptic' else 'img'))
    for split in ('train', 'val'):
        tiny_coco.write(f'voc_animals/panoptic_{split}.json', tiny_coco.panoptic)
    captions = [dict(image_id=image['id'], caption='A ball on the left.') for image in tiny_coco.images]
    tiny_coco.write('coco_captions/captions_train.json', dict(images=tiny_coco.images, annotations=captions))
    cfg = Config.fromfile(FOLDER / 'photos_joint.py')
    loaders = {**cfg.train_dataloader, 'val': cfg.val_dataloader}
    for loader in loaders.values():
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        (loader.dataset.dataset if 'dataset' in loader.dataset else loader.dataset).data_root = str(coco_root)
    loaders['scenes'].dataset.dataset.pop('data_root')
    found = {name: next(iter(Runner.build_dataloader(loader, seed=0))) for name, loader in loaders.items()}
    for name in ('segments', 'pairs', 'scenes'):
        assert [tuple(image.shape) for image in found[name]['inputs']] == [(3, 256, 256)] * 2, name
        assert all(sample.caption for sample in found[name]['data_samples'])
    described = found['segments']['data_samples'][0]
    assert len(described.gt_phrases) and len(described.questions) == len(described.answers) and described.questions
    assert 'gt_segments' not in found['pairs']['data_samples'][0]
    assert found['val']['data_samples'][0].tasks == ('panoptic', 'semantic', 'refseg', 'caption', 'vqa')
    enlarged = ScenesDataset(split='test', num_scenes=1, pipeline=cfg.scenes_test_pipeline, test_mode=True)[0]
    assert tuple(enlarged['inputs'].shape) == (3, 256, 256)
    assert enlarged['data_samples'].gt_panoptic_seg.sem_seg.shape == (1, 128, 128)
    segments = loaders['segments'].dataset
    segments.dataset = dict(type='ClassBalancedDataset', oversample_thr=1.0, dataset=segments.dataset)
    balanced = DATASETS.build(segments)  # every second image has what the other has not
    assert len(balanced) > len(balanced.dataset.dataset) and 'inputs' in balanced[Draw(len(balanced) - 1, 0, 0)]


ALL = [
    'coco_panoptic', 'coco_instance', 'coco_boxes', 'coco_joint', 'folder_semantic', 'camvid', 'image_text_pairs',
    'refcoco', 'webdataset',
]  # fmt: skip


@pytest.mark.parametrize('name', ALL)
def test_missing_data_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        DATASETS.build(load(name, tmp_path).train_dataloader.dataset)
