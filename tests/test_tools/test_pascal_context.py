"""PASCAL Context from its .mat files, and Pascal VOC as it is, to the values of their benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from tiny.benchmarks import benchmark_dataset, score_ground_truth, score_model
from tiny.tools import run_tool

# accordion 1 (not one of the 59), aeroplane 2, sky 360, wood piece 458, 0 unlabelled.
LABELS = np.repeat(np.array([[1, 2, 360, 458, 459, 0]], dtype=np.uint16), 4, axis=0)
# background 0, aeroplane 1, tvmonitor 20, border 255.
VOC_LABELS = np.repeat(np.array([[0, 1, 1, 20, 20, 255]], dtype=np.uint8), 4, axis=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A piece of VOCdevkit/VOC2010 with PASCAL-Context in it."""
    for folder in ('JPEGImages', 'ImageSets/Main', 'trainval'):
        (tmp_path / folder).mkdir(parents=True)
    for name in ('2008_000002', '2008_000003', '2008_000007'):
        Image.new('RGB', (6, 4)).save(tmp_path / f'JPEGImages/{name}.jpg')
        savemat(tmp_path / f'trainval/{name}.mat', dict(LabelMap=LABELS))
    (tmp_path / 'ImageSets/Main/val.txt').write_text('2008_000002\n2008_000007\n')
    return tmp_path


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A piece of VOCdevkit/VOC2012; the second image is of the training set, the third has only void."""
    for folder in ('JPEGImages', 'ImageSets/Segmentation', 'SegmentationClass'):
        (tmp_path / folder).mkdir(parents=True)
    for name, labels in (('2007_000033', VOC_LABELS), ('2007_000042', VOC_LABELS), ('2007_000061', VOC_LABELS * 0)):
        Image.new('RGB', (6, 4)).save(tmp_path / f'JPEGImages/{name}.jpg')
        image = Image.fromarray(labels).convert('P')
        image.putpalette([value * 7 % 256 for value in range(768)])
        image.save(tmp_path / f'SegmentationClass/{name}.png')
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('2007_000033\n2007_000061\n')
    return tmp_path


def convert(root: Path, *options: str) -> None:
    run_tool('dataset_converters/pascal_context', root, *options)


def test_labels_are_classes(root: Path, capsys) -> None:
    convert(root)
    assert '4 files' in capsys.readouterr().out
    dataset = benchmark_dataset('context-59', root)
    labels = dataset[0]['data_samples'].gt_sem_seg.sem_seg[0, 0]
    assert labels.tolist() == [-1, 0, 46, 58, -1, -1]
    assert [dataset.vocabulary.names[label] for label in (0, 46, 58)] == ['aeroplane', 'sky', 'wood piece']
    labels = benchmark_dataset('context-459', root)[1]['data_samples'].gt_sem_seg.sem_seg[0, 0]
    assert labels.tolist() == [0, 1, 359, 457, 458, -1]


@pytest.mark.parametrize('protocol', ['official', 'recommended'])
def test_ground_truth_scores_100(root: Path, protocol: str) -> None:
    convert(root)
    for name in ('context-59', 'context-459', 'context-59-oracle', 'context-459-oracle'):
        assert score_ground_truth(name, root, protocol)['semantic/mIoU'] == 100
        assert score_ground_truth(name, root, protocol, shift=1)['semantic/mIoU'] == 0


def test_both_names_of_a_class_count(root: Path) -> None:
    convert(root)
    official, recommended = (benchmark_dataset('context-59', root, name) for name in ('official', 'recommended'))
    assert official.vocabulary.names == recommended.vocabulary.names
    assert official.vocabulary.texts[40] == ('street',) and len(recommended.vocabulary.texts[40]) > 1


def test_incomplete_context_is_named(root: Path) -> None:
    path = root / 'trainval/2008_000007.mat'
    savemat(path, dict(LabelMap=LABELS + np.uint16(1)))
    with pytest.raises(SystemExit, match=r'2008_000007.mat: LabelMap is \(4, 6\) up to 460; accepted are 0 to 459'):
        convert(root)
    savemat(path, dict(other=LABELS))
    with pytest.raises(SystemExit, match='2008_000007.mat: not a label file of PASCAL-Context'):
        convert(root)
    path.write_text('nothing')
    with pytest.raises(SystemExit, match='2008_000007.mat: not a label file of PASCAL-Context'):
        convert(root)
    path.unlink()
    with pytest.raises(SystemExit, match='1 of 2 .mat files are missing, first 2008_000007.mat'):
        convert(root)
    (root / 'ImageSets/Main/val.txt').unlink()
    with pytest.raises(SystemExit, match='val.txt: list of the images does not exist'):
        convert(root)
    with pytest.raises(SystemExit, match='no such folder.*trainval.tar.gz'):
        convert(root / 'JPEGImages')


def test_void_and_background_do_not_count_in_voc(voc: Path) -> None:
    for protocol in ('official', 'recommended'):
        for name in ('voc-20', 'voc-20-oracle'):
            values = score_ground_truth(name, voc, protocol)
            assert values['semantic/mIoU'] == values['semantic/aAcc'] == 100
        assert score_ground_truth('voc-20', voc, protocol, shift=1)['semantic/mIoU'] == 0
    dataset = benchmark_dataset('voc-20', voc)
    assert len(dataset) == 2
    assert dataset[0]['data_samples'].gt_sem_seg.sem_seg[0, 0].tolist() == [-1, 0, 0, 19, 19, -1]
    assert ('diningtable', 'dining table') == dataset.vocabulary.texts[10][:2]


def test_an_image_keeps_its_own_classes(voc: Path) -> None:
    dataset = benchmark_dataset('voc-20-oracle', voc)
    sample, void = (dataset[index]['data_samples'] for index in range(2))
    assert sample.vocabulary.names == ('aeroplane', 'tvmonitor') and sample.vocabulary_labels == (0, 19)
    assert len(sample.vocabulary.prompts) == 2
    assert len(void.vocabulary) == 20  # nothing is labelled


def test_a_model_is_tested(voc: Path, tmp_path: Path) -> None:
    (voc / 'ImageSets/Segmentation/val.txt').write_text('2007_000033\n')
    values = score_model('voc-20-oracle', voc, tmp_path / 'work')
    assert 0 <= values['semantic/mIoU'] <= 100  # labels of two classes were mapped to those of twenty


def test_incomplete_voc_is_named(voc: Path) -> None:
    (voc / 'SegmentationClass/2007_000061.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 listed file.*2007_000061.png'):
        benchmark_dataset('voc-20', voc)
    (voc / 'ImageSets/Segmentation/val.txt').unlink()
    with pytest.raises(FileNotFoundError, match='val.txt'):
        benchmark_dataset('voc-20', voc)
