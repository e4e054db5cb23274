"""Generated scenes on disk are read back as they were made."""

import json

import numpy as np
import pytest
from tiny.tools import load_script

from xdet.datasets import CocoPanopticSegDataset
from xdet.scenes import ScenesDataset
from xdet.scenes.description import VOCABULARY

generate_scenes = load_script('tools/dataset_converters/generate_scenes.py')

PACK = dict(type='PackXDetInputs', test_mode=True)


def test_coco_dataset_reads_back_the_scenes(tmp_path):
    annotations = generate_scenes.generate(tmp_path, 'val', num=4, size=64, seed=5)
    read = CocoPanopticSegDataset(
        ann_file=str(annotations),
        data_prefix=dict(img=str(tmp_path / 'val'), seg=str(tmp_path / 'annotations' / 'panoptic_val')),
        pipeline=[dict(type='LoadXDetImage'), dict(type='LoadSegments'), PACK],
    )
    drawn = ScenesDataset(4, split='val', seed=5, pipeline=[dict(type='RenderScene', size=64), PACK])
    assert read.metainfo['vocabulary'] == VOCABULARY
    assert len(read) == len(drawn) == 4
    for left, right in zip(read, drawn, strict=True):
        np.testing.assert_array_equal(left['inputs'], right['inputs'])
        left, right = left['data_samples'], right['data_samples']
        assert left.img_id == right.img_id
        np.testing.assert_array_equal(left.gt_panoptic_seg.sem_seg, right.gt_panoptic_seg.sem_seg)
        assert left.gt_panoptic_seg.segments_info == right.gt_panoptic_seg.segments_info


def test_annotations_follow_coco(tmp_path):
    content = json.loads(generate_scenes.generate(tmp_path, 'train', num=2, size=48, seed=0).read_text())
    assert [category['name'] for category in content['categories']] == list(VOCABULARY.names)
    assert [category['isthing'] for category in content['categories']] == list(map(int, VOCABULARY.is_thing))
    for annotation in content['annotations']:
        assert sum(segment['area'] for segment in annotation['segments_info']) == 48 * 48
        for segment in annotation['segments_info']:
            x, y, width, height = segment['bbox']
            assert 0 <= x < x + width <= 48 and 0 <= y < y + height <= 48
            assert segment['area'] <= width * height
    texts = {
        name: json.loads((tmp_path / 'annotations' / f'{name}_train.json').read_text())
        for name in ('captions', 'phrases', 'questions')
    }
    assert [image['id'] for image in texts['captions']['images']] == [0, 1]
    assert {item['image_id'] for item in texts['captions']['annotations']} == {0, 1}
    names = {category['id']: category['name'] for category in content['categories']}
    for phrase in texts['phrases']:
        segments = content['annotations'][phrase['image_id']]['segments_info']
        (name,) = (names[item['category_id']] for item in segments if item['id'] == phrase['segment_id'])
        assert phrase['kind'] != 'plain' or phrase['phrase'] in (f'the {name}', f'the {name.split()[-1]}')
    assert [item['question_id'] for item in texts['questions']] == list(range(len(texts['questions'])))
    descriptions = json.loads((tmp_path / 'annotations' / 'scenes_train.json').read_text())
    assert [item['image_id'] for item in descriptions] == [0, 1]


@pytest.mark.parametrize(('split', 'classes'), [('train_comp', 48), ('test_words', 55)])
def test_splits_with_their_own_class_list(tmp_path, split, classes):
    content = json.loads(generate_scenes.generate(tmp_path, split, num=3, size=32, seed=0).read_text())
    drawn = ScenesDataset(3, split=split, pipeline=[dict(type='RenderScene', size=32), PACK])
    assert len(content['categories']) == classes == len(drawn.metainfo['classes'])
    for annotation, sample in zip(content['annotations'], drawn, strict=True):
        labels = [info['label'] for info in sample['data_samples'].gt_panoptic_seg.segments_info]
        assert [segment['category_id'] - 1 for segment in annotation['segments_info']] == labels


def test_interrupted_run_continues_and_other_settings_are_refused(tmp_path):
    generate_scenes.generate(tmp_path, 'val', num=2, size=32, seed=0)
    pictures = sorted((tmp_path / 'val').iterdir())
    content, kept = pictures[0].read_bytes(), pictures[1].stat().st_mtime_ns
    pictures[0].unlink()
    generate_scenes.generate(tmp_path, 'val', num=3, size=32, seed=0)
    assert pictures[0].read_bytes() == content
    assert pictures[1].stat().st_mtime_ns == kept
    assert len(list((tmp_path / 'val').iterdir())) == 3
    assert not list(tmp_path.rglob('*.partial'))
    with pytest.raises(ValueError, match="'size': 32"):
        generate_scenes.generate(tmp_path, 'val', num=2, size=64, seed=0)
    with pytest.raises(ValueError, match='--num is 0'):
        generate_scenes.generate(tmp_path / 'other', 'val', num=0, size=64, seed=0)
