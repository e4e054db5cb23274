"""The comparison with other models: judged alike, on the same images, and clear about what is missing."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from tiny.tools import ROOT

from xdet.registry import MODELS

NAMES = ('cat', 'dog', 'horse', 'cow', 'sheep', 'person')


@pytest.fixture(scope='module')
def program() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / 'benchmarks')  # as for `python benchmarks/peers_photos.py`
        yield importlib.import_module('peers_photos')


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images with two animals each, a border that nobody labelled, and all classes in their vocabulary."""
    root = tmp_path_factory.mktemp('photos')
    for split in ('train', 'val'):
        images, annotations = [], []
        for number in (1, 2):
            first, second = number, number + 1
            segments = np.zeros((48, 64), np.uint8)
            segments[8:40, 4:30], segments[8:40, 34:60] = 1, 2
            labels = np.select([segments == 1, segments == 2], [first, second])
            labels[:2] = 255
            for folder, picture in (
                (f'images/{split}', np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)),
                (f'panoptic/{split}', np.stack([segments, 0 * segments, 0 * segments], -1)),
                (f'labels/{split}', labels.astype(np.uint8)),
            ):
                path = root / 'voc_animals' / folder / f'{number}.{"jpg" if "images" in folder else "png"}'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
            images.append(dict(id=number, file_name=f'{number}.jpg', height=48, width=64))
            info = [
                dict(id=i, category_id=c, iscrowd=0, area=832, bbox=[4, 8, 26, 32])
                for i, c in ((1, first), (2, second))
            ]
            annotations.append(dict(image_id=number, file_name=f'{number}.png', segments_info=info))
        categories = [dict(id=i, name=name, isthing=1) for i, name in enumerate(NAMES, 1)]
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'voc_animals' / f'panoptic_{split}.json').write_text(json.dumps(content))
    return root


@pytest.fixture
def config(program: ModuleType, photos: Path) -> Config:
    init_default_scope('xdet')
    cfg = Config.fromfile(ROOT / program.CONFIG)
    for loader in (cfg.train_dataloader.segments.dataset, cfg.val_dataloader):
        loader.dataset.data_root = f'{photos}/'
    return cfg


class Knows(torch.nn.Module):
    """Gives the ground truth of the two images in turn, as a model of queries or of pixels would."""

    def __init__(self, program: ModuleType, queries: bool, wrong: bool) -> None:
        super().__init__()
        self.preprocessor = MODELS.build(dict(type='XDecoderDataPreprocessor'))
        self.queries, self.wrong, self.number = queries, wrong, 0

    def scores(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.number += 1
        height, width = image.shape[-2] // 2, image.shape[-1] // 2
        # 48 x 64 pixels become 256 x 341; the rest of the padded image is not looked at.
        rows = torch.arange(height) * 2 * 48 / 256
        columns = torch.arange(width) * 2 * 64 / 341
        inside = ((rows >= 8) & (rows < 40))[:, None]
        masks = torch.stack([inside & ((columns >= a) & (columns < b))[None] for a, b in ((4, 30), (34, 60))])
        labels = [self.number - 1, self.number]
        if self.wrong:
            labels = [5, 5]
        if self.queries:
            classes = torch.full((2, len(NAMES) + 1), -20.0)
            classes[range(2), labels] = 20.0
            return classes, masks * 40.0 - 20.0
        scores = torch.zeros(len(NAMES) + 1, height, width)
        scores[0] = 0.5
        for mask, label in zip(masks, labels, strict=True):
            scores[label + 1] = torch.maximum(scores[label + 1], mask.float())
        return scores, None


@pytest.mark.parametrize('queries', [True, False], ids=['queries', 'pixels'])
def test_who_knows_everything_gets_everything(program, config, queries):
    config.val_dataloader.dataset.data_prefix = dict(img='voc_animals/images/val/', seg='voc_animals/panoptic/val/')
    args = argparse.Namespace(images=5)
    right = program.judge(Knows(program, queries, wrong=False), config, args)
    wrong = program.judge(Knows(program, queries, wrong=True), config, args)
    assert right['images'] == 2
    assert min(right['IoU'][name] for name in ('background', 'cat', 'dog', 'horse')) > 85  # drawn in half the size
    assert right['IoU']['person'] == wrong['IoU']['dog'] == 0 and wrong['IoU']['background'] > 90
    if queries:
        assert [right['PQ'][name] > 85 for name in NAMES] == [True] * 3 + [False] * 3
        assert right['best_mask_named'] == 100 and right['best_mask_no_object'] < 1e-6
        # Masks are as good when the names are wrong.
        assert wrong['best_mask_IoU'] == right['best_mask_IoU'] and wrong['best_mask_named'] == 0
        assert wrong['mIoU7_names_given'] == right['mIoU7_names_given'] and wrong['PQ_animals'] == 0


def test_everyone_sees_the_same_images(program, config):
    pytest.importorskip('mmseg')
    first, again, other = (list(program.batches(config, 16, seed, False)) for seed in (0, 0, 1))
    assert [len(batch[0]['inputs']) for batch in first] == [8, 8]
    assert all(map(torch.equal, first[1][0]['inputs'], again[1][0]['inputs']))
    assert not all(map(torch.equal, first[1][0]['inputs'], other[1][0]['inputs']))


def test_missing_packages_leave_a_peer_out(program, photos, monkeypatch, capsys):
    def missing(*_):
        raise ImportError("No module named 'mmseg'")

    monkeypatch.setitem(program.PEERS, 'fcn-mmseg', missing)
    program.main(['fcn-mmseg', '--backbone', 'x.pth', '--data-root', str(photos)])
    assert "fcn-mmseg is left out: No module named 'mmseg'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'said'),
    [(['unet'], 'no peer unet; there are deeplabv3plus-mmseg'), (['--samples', '7'], 'at least one batch of 8')],
)
def test_options_that_cannot_be_meant_are_named(program, capsys, options, said):
    with pytest.raises(SystemExit):
        program.main([*options, '--backbone', 'x.pth'])
    assert said in capsys.readouterr().err
