"""SUN RGB-D from the layouts in which it is passed on to the values of its benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.benchmarks import benchmark_dataset, score_ground_truth
from tiny.tools import run_tool

LABELS = np.array([[0, 1, 37, 255], [24, 24, 5, 5]], dtype=np.uint8)
LAYOUTS = {
    'ankurhanda': ('SUNRGBD-test_images/img-{:06d}.jpg', 'sunrgbd_train_test_labels/img-{:06d}.png'),
    'chrischoy': ('image/test/img-{:06d}.jpg', 'label37/test/{:08d}.png'),
    'flat': ('img-{:06d}.jpg', 'img-{:06d}.png'),
}


def write(root: Path, layout: str) -> Path:
    """Images 1 and 2; labels also of image 3, which in the first layout is of the training set."""
    image, label = LAYOUTS[layout]
    for pattern in (image, label):
        (root / pattern).parent.mkdir(parents=True, exist_ok=True)
    for number in (1, 2, 3):
        if number < 3:
            Image.new('RGB', (4, 2)).save(root / image.format(number))
        Image.fromarray(LABELS).save(root / label.format(number))
    return root


def convert(root: Path, *options: str) -> None:
    run_tool('dataset_converters/sunrgbd', root, *options)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_ground_truth_scores_100(tmp_path: Path, layout: str, capsys) -> None:
    root = write(tmp_path, layout)
    convert(root)
    assert 'note: 2 images, but the test set has 5050' in capsys.readouterr().out
    assert score_ground_truth('sunrgbd-37', root)['semantic/mIoU'] == 100
    assert score_ground_truth('sunrgbd-37-oracle', root, 'official')['semantic/mIoU'] == 100
    assert score_ground_truth('sunrgbd-37', root, shift=1)['semantic/mIoU'] == 0
    dataset = benchmark_dataset('sunrgbd-37', root)
    labels = dataset[0]['data_samples'].gt_sem_seg.sem_seg[0]
    np.testing.assert_array_equal(labels, [[-1, 0, 36, -1], [23, 23, 4, 4]])
    assert dataset.vocabulary.names[23] == 'refridgerator'


def test_a_given_list_is_read_as_it_is(tmp_path: Path) -> None:
    root = write(tmp_path, 'chrischoy')
    (root / 'test37.txt').write_text('image/test/img-000002.jpg depth/test/00000002.png label37/test/00000002.png\n')
    assert len(benchmark_dataset('sunrgbd-37', root)) == 1


def test_unusable_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r'no test set of SUN RGB-D; expected \*.jpg in SUNRGBD-test_images'):
        convert(tmp_path)
    with pytest.raises(SystemExit, match='none: no such folder'):
        convert(tmp_path / 'none')
    root = write(tmp_path, 'chrischoy')
    with pytest.raises(FileNotFoundError, match='test37.txt: annotation file'):
        benchmark_dataset('sunrgbd-37', root)
    label = root / 'label37/test/00000002.png'
    Image.fromarray(LABELS + np.uint8(1)).save(label)
    with pytest.raises(SystemExit, match=r'00000002.png: label value 38 is none of 0 to 37 and 255'):
        convert(root)
    Image.fromarray(LABELS[:, :2]).save(label)
    with pytest.raises(SystemExit, match=r'00000002.png: is 2x2 but its image 4x2'):
        convert(root)
    label.unlink()
    with pytest.raises(SystemExit, match=r'img-000002.jpg: has no label image \(1 such images\)'):
        convert(root)
