"""Folders of images and label images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.datasets import ImageLabelFolderDataset
from xdet.datasets.sets import image_label_folder
from xdet.structures import XDetDataSample

TRAIN = [dict(type='LoadXDetImage'), dict(type='LoadSegments'), dict(type='PackXDetInputs')]
TEST = [dict(type='LoadXDetImage'), dict(type='LoadSegments'), dict(type='PackXDetInputs', test_mode=True)]
LABELS = np.array([[0, 0, 2], [255, 2, 2]], dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ('images/sub', 'labels/sub'):
        (tmp_path / folder).mkdir(parents=True)
    for name in ('b', 'sub/a'):
        Image.new('RGB', (3, 2)).save(tmp_path / 'images' / f'{name}.JPG')
        Image.fromarray(LABELS).save(tmp_path / 'labels' / f'{name}.png')
    (tmp_path / 'classes.txt').write_text('sky\nroad\ncar\n')
    return tmp_path


def make(root: Path, **kwargs) -> ImageLabelFolderDataset:
    cfg = dict(data_root=str(root), classes='classes.txt', data_prefix=dict(img='images', seg='labels'), pipeline=TRAIN)
    return ImageLabelFolderDataset(**{**cfg, 'serialize_data': False, **kwargs})


def test_a_class_of_an_image_is_a_segment(root: Path) -> None:
    dataset = make(root, things=['car'])
    assert dataset.metainfo['classes'] == ('sky', 'road', 'car')
    assert [dataset.get_data_info(index)['img_id'] for index in range(2)] == ['b', 'sub/a']
    sample = dataset[0]['data_samples']
    assert sample.vocabulary == dataset.vocabulary and sample.vocabulary.things == ('car',)
    assert sample.gt_segments.labels.tolist() == [0, 2]
    np.testing.assert_array_equal(sample.gt_segments.masks.expand(), [LABELS == 0, LABELS == 2])


def test_ground_truth_for_metrics(root: Path) -> None:
    sample = make(root, pipeline=TEST, test_mode=True)[1]['data_samples']
    assert 'gt_segments' not in sample
    expected = np.where(LABELS == 255, XDetDataSample.IGNORE, LABELS.astype(int))
    np.testing.assert_array_equal(sample.gt_sem_seg.sem_seg[0], expected)
    np.testing.assert_array_equal(sample.gt_panoptic_seg.sem_seg[0], [[1, 1, 2], [0, 2, 2]])
    assert [segment['label'] for segment in sample.gt_panoptic_seg.segments_info] == [0, 2]


def test_offset_and_ignore_label(root: Path) -> None:
    for path in (root / 'labels').rglob('*.png'):
        Image.fromarray(np.array([[0, 1, 3], [1, 1, 1]], dtype=np.uint8)).save(path)
    sample = make(root, ignore_label=0, label_offset=1, pipeline=TEST, test_mode=True)[0]['data_samples']
    np.testing.assert_array_equal(sample.gt_sem_seg.sem_seg[0], [[-1, 0, 2], [0, 0, 0]])


@pytest.mark.parametrize(
    'options',
    [
        dict(classes=['road', 'car'], label_offset=1),
        dict(classes=['background', 'road', 'car']),
        dict(classes='named.txt'),
    ],
)
def test_background_is_known_to_be_none_of_the_classes(root: Path, options: dict) -> None:
    (root / 'named.txt').write_text('background\nroad\ncar\n')
    dataset = make(root, background_label=0, pipeline=TEST, test_mode=True, **options)
    assert dataset.vocabulary.names == ('road', 'car')
    sample = dataset[0]['data_samples']
    assert sample.gt_sem_seg.sem_seg.tolist() == [[[-2, -2, 1], [-1, 1, 1]]]
    assert sample.gt_panoptic_seg.sem_seg.tolist() == [[[0, 0, 1], [0, 1, 1]]]
    assert make(root, background_label=0, **options)[0]['data_samples'].gt_segments.labels.tolist() == [1]


def test_background_at_the_end_and_where_it_is_taken(root: Path) -> None:
    dataset = make(root, classes=['sky', 'road', 'background'], background_label=2, pipeline=TEST, test_mode=True)
    assert dataset.vocabulary.names == ('sky', 'road')
    assert dataset[0]['data_samples'].gt_sem_seg.sem_seg.tolist() == [[[0, 0, -2], [-1, -2, -2]]]
    for taken in (1, 255):
        with pytest.raises(ValueError, match=f'background_label is {taken}, which is taken: classes have 0 to 2'):
            make(root, background_label=taken)


def test_16_bit_labels_of_many_classes(root: Path) -> None:
    labels = np.array([[0, 846, 500], [65535, 500, 500]], dtype=np.uint16)
    for path in (root / 'labels').rglob('*.png'):
        Image.fromarray(labels).save(path)
    dataset = make(root, classes=[f'class {i}' for i in range(847)], ignore_label=65535)
    assert dataset[0]['data_samples'].gt_segments.labels.tolist() == [0, 500, 846]


def test_palette_labels_count_by_index(root: Path) -> None:
    image = Image.fromarray(LABELS).convert('L')
    image.putpalette([value % 256 for value in range(7, 775)])
    for path in (root / 'labels').rglob('*.png'):
        image.save(path)
    assert make(root)[0]['data_samples'].gt_segments.labels.tolist() == [0, 2]


def test_testing_needs_no_labels(root: Path) -> None:
    dataset = make(root, data_prefix=dict(img='images'), pipeline=TEST, test_mode=True)
    sample = dataset[0]['data_samples']
    assert 'gt_sem_seg' not in sample and sample.vocabulary == dataset.vocabulary
    with pytest.raises(ValueError, match="no folder 'seg'.*test_mode=True"):
        make(root, data_prefix=dict(img='images'))


def test_suffixes_replace_each_other(root: Path) -> None:
    Image.new('RGB', (3, 2)).save(root / 'images' / 'c_img.png')
    Image.fromarray(LABELS).save(root / 'labels' / 'c_label.png')
    dataset = make(root, img_suffix='_img.png', label_suffix='_label.png')
    assert len(dataset) == 1 and dataset.get_data_info(0)['img_id'] == 'c'


def test_a_list_of_names_chooses(root: Path) -> None:
    (root / 'split.txt').write_text('sub/a\n')
    assert [make(root, ann_file='split.txt').get_data_info(0)['img_id']] == ['sub/a']
    (root / 'split.txt').write_text('sub/a\nz\n')
    with pytest.raises(FileNotFoundError, match='split.txt: 2 listed file.*z'):
        make(root, ann_file='split.txt')
    with pytest.raises(FileNotFoundError, match='other.txt'):
        make(root, ann_file='other.txt')


def test_missing_folders_and_files_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match='pictures: no such folder.*images'):
        make(root, data_prefix=dict(img='pictures', seg='labels'))
    with pytest.raises(FileNotFoundError, match='masks: no such folder.*label images'):
        make(root, data_prefix=dict(img='images', seg='masks'))
    with pytest.raises(ValueError, match=r'images: no images; accepted are files that end in \.bmp'):
        make(root, img_suffix='.bmp')
    (root / 'labels' / 'b.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 listed file.*b\.png'):
        make(root)
    assert len(make(root, missing_images='skip')) == 1


def test_labels_without_image_are_named(root: Path) -> None:
    (root / 'images' / 'b.JPG').unlink()
    with pytest.raises(
        FileNotFoundError, match=r'labels: 1 label image\(s\) have no image in .*images, the first is b'
    ):
        make(root)
    assert len(make(root, missing_images='skip')) == 1


def test_labels_that_do_not_fit_are_named(root: Path) -> None:
    path = root / 'labels' / 'b.png'
    Image.fromarray(np.array([[0, 7, 2], [255, 2, 2]], dtype=np.uint8)).save(path)
    with pytest.raises(ValueError, match=r'b\.png: label value 7 \(1 pixels\).*accepted are 0 to 2 and 255'):
        make(root)[0]
    Image.fromarray(LABELS[:, :2]).save(path)
    with pytest.raises(ValueError, match=r'b\.JPG: image is 3x2 pixels.*is for 2x2'):
        make(root)[0]
    Image.new('RGB', (3, 2)).save(path)
    with pytest.raises(ValueError, match=r'b\.png: not a label image.*3 channels'):
        make(root)[0]
    path.write_bytes(b'not an image')
    with pytest.raises(ValueError, match=r'b\.png: label image is damaged'):
        make(root)[0]


def test_real_folders(shared_data: Path) -> None:
    prefix = dict(img='images/val', seg='labels/val')
    camvid = make(shared_data / 'camvid', classes='camvid', data_prefix=prefix)
    clothing = make(shared_data / 'clothing_ccp', classes='classes.json', data_prefix=prefix)
    assert len(camvid) == 101 and len(clothing) == 50
    for dataset in (camvid, clothing):
        segments = dataset[0]['data_samples'].gt_segments
        assert len(segments) > 3 and not (segments.masks.expand().sum(0) > 1).any()


def test_a_link_to_a_parent_is_not_followed_for_ever(root: Path) -> None:
    (root / 'images' / 'sub' / 'again').symlink_to(root / 'images')
    assert len(make(root)) == 2


def test_files_that_systems_add_are_left_out(root: Path) -> None:
    for name in ('images/._b.JPG', 'labels/._b.png', 'images/__MACOSX/b.JPG', 'images/.thumbnails/b.JPG'):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b'x')
    assert len(make(root)) == 2


def test_class_without_a_pixel_is_noticed(root: Path) -> None:
    for name in ('b', 'sub/a'):
        Image.fromarray(np.array([[0, 255, 255], [0, 0, 0]], dtype=np.uint8)).save(root / 'labels' / f'{name}.png')
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_label_folder, 'warn_once', said.append)
        make(root, classes=['ground', 'box'])
        make(root, classes=['ground', 'box'], ignore_label=9)  # 255 is then refused when it is read
    assert said[0].endswith(
        'no pixel of class box in 2 of 2 label images, and 33.3 % of their pixels are unlabelled (255); values of '
        'classes begin at 0'
    )


def test_list_with_a_byte_order_mark(root: Path) -> None:
    (root / 'classes.txt').write_text('sky\nroad\ncar\n', encoding='utf-8-sig')
    (root / 'names.txt').write_text('b\n', encoding='utf-8-sig')
    dataset = make(root, ann_file='names.txt')
    assert dataset.vocabulary.names[0] == 'sky' and dataset.get_data_info(0)['img_id'] == 'b'


def test_label_files_end_in_any_case(root: Path) -> None:
    (root / 'labels/b.png').rename(root / 'labels/b.PNG')
    assert make(root)[0]['data_samples'].gt_segments.labels.tolist() == [0, 2]


def test_images_with_one_label_image_are_refused(root: Path) -> None:
    Image.new('RGB', (3, 2)).save(root / 'images/b.png')
    with pytest.raises(ValueError, match='b.JPG and b.png would have the same label image'):
        make(root)
    assert len(make(root, img_suffix='.jpg')) == 2


def test_no_label_images(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'labels: no label images; accepted are files that end in .tif'):
        make(root, label_suffix='.tif')


def test_folders_of_network_drives_are_left_out(root: Path) -> None:
    for folder in ('images', 'labels'):
        (root / folder / '@eaDir').mkdir()
        (root / folder / '@eaDir/b.png').write_bytes(b'thumbnail')
    assert len(make(root)) == 2


def test_colours_are_no_labels(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new('RGB', (3, 2)).save(root / 'labels/b.png')
    dataset = make(root)
    assert 'no pixel of class' not in caplog.text
    with pytest.raises(ValueError, match='b.png: not a label image .* it has 3 channels'):
        dataset[0]
