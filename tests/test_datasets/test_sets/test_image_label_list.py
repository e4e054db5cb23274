"""Lists of images and label images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.datasets import ImageLabelListDataset

TEST = [dict(type='LoadXDetImage'), dict(type='LoadSegments'), dict(type='PackXDetInputs', test_mode=True)]
LABELS = np.array([[0, 1, 2], [255, 2, 2]], dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A piece of SUN RGB-D: the names of label images do not follow from those of images."""
    for folder in ('image/test', 'label37/test'):
        (tmp_path / folder).mkdir(parents=True)
    for number in (1, 2):
        Image.new('RGB', (3, 2)).save(tmp_path / f'image/test/img-{number:06d}.jpg')
        Image.fromarray(LABELS).save(tmp_path / f'label37/test/{number:08d}.png')
    lines = [f'image/test/img-{n:06d}.jpg depth/test/{n:08d}.png label37/test/{n:08d}.png\n' for n in (2, 1)]
    (tmp_path / 'test37.txt').write_text(''.join(lines))
    return tmp_path


def make(root: Path, **kwargs) -> ImageLabelListDataset:
    cfg = dict(data_root=str(root), ann_file='test37.txt', classes=['wall', 'floor'], ignore_label=(0, 255))
    return ImageLabelListDataset(
        **{**cfg, 'label_offset': 1, 'pipeline': TEST, 'test_mode': True, 'serialize_data': False, **kwargs}
    )


def test_pairs_are_read_in_order(root: Path) -> None:
    dataset = make(root)
    assert [dataset.get_data_info(index)['img_id'] for index in range(2)] == [
        'image/test/img-000002',
        'image/test/img-000001',
    ]
    labels = dataset[0]['data_samples'].gt_sem_seg.sem_seg[0]
    np.testing.assert_array_equal(labels, [[-1, 0, 1], [-1, 1, 1]])


def test_paths_may_begin_from_folders(root: Path) -> None:
    (root / 'short.txt').write_text('img-000001.jpg 00000001.png extra\n')
    prefix = dict(img='image/test', seg='label37/test')
    assert len(make(root, ann_file='short.txt', columns=(0, 1), data_prefix=prefix)[0]['inputs']) == 3


@pytest.mark.parametrize(
    ('text', 'error', 'message'),
    [
        ('', ValueError, 'list.txt: no samples'),
        ('a.jpg\n', ValueError, r'list.txt: line 1 names a.jpg alone'),
        ('a.jpg a.png\n', FileNotFoundError, r'2 listed file\(s\) do not exist'),
    ],
)
def test_unusable_lists_are_named(root: Path, text: str, error: type, message: str) -> None:
    (root / 'list.txt').write_text(text)
    with pytest.raises(error, match=message):
        make(root, ann_file='list.txt')


def test_missing_things_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match='val.txt: annotation file'):
        make(root, ann_file='val.txt')
    with pytest.raises(FileNotFoundError, match='none: no such folder'):
        make(root / 'none')
    with pytest.raises(ValueError, match=r'line 1 has 3 columns; columns=\(0, 7\)'):
        make(root, columns=(0, 7))
    Image.fromarray(LABELS + np.uint8(1)).save(root / 'label37/test/00000001.png')
    with pytest.raises(ValueError, match=r'label value 3 \(3 pixels\).*accepted are 1 to 2 and 0, 255'):
        make(root)[1]
