"""The generated world: same bytes for the same numbers, masks that agree with the description, no files needed."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from xdet.scenes import NameThingsByAttribute, RenderScene, ScenesDataset
from xdet.scenes.description import COLOURS, MATERIALS, SHAPES, STUFF, VOCABULARY, Scene, SceneObject
from xdet.scenes.render import render_scene, segment_areas
from xdet.scenes.sampling import MIN_REGION, MIN_VISIBLE, sample_scene
from xdet.scenes.shapes import DISTANCES
from xdet.scenes.textures import TEXTURES, value_noise, wave
from xdet.structures import Vocabulary


def digest(*arrays):
    state = hashlib.sha256()
    for array in arrays:
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()[:16]


@pytest.fixture(scope='module')
def scenes():
    return [sample_scene('train', 0, index) for index in range(300)]


@pytest.mark.parametrize(
    ('split', 'seed', 'index', 'size', 'expected'),
    [
        ('train', 0, 0, 64, '134c915b46a5dc84'),
        ('val', 0, 7, 128, '46ddde686ae967df'),
        ('test', 3, 123456, 160, 'a6774d3f45a2fc0a'),
    ],
)
def test_same_numbers_give_the_same_bytes(split, seed, index, size, expected):
    rendered = render_scene(sample_scene(split, seed, index), size)
    assert digest(rendered.image, rendered.segment_map) == expected


@pytest.mark.parametrize(
    ('split', 'expected'), [('train', '08796585bea84926'), ('val', '50421cc8a7e152d1'), ('test', '8ea2a6cf1ec77323')]
)
def test_the_world_that_the_embedded_default_learned_stays_as_it_was(split, expected):
    state = hashlib.sha256()
    dataset = ScenesDataset(40, split=split, pipeline=[RenderScene(32)])
    assert dataset.metainfo['vocabulary'] == VOCABULARY
    for results in dataset:
        state.update(results['img'].tobytes() + results['gt_seg_map'].tobytes())
        described = [
            tuple(info[key] for key in ('id', 'label', 'is_thing', 'iscrowd')) for info in results['segments_info']
        ]
        state.update(repr(described).encode())
    assert state.hexdigest()[:16] == expected


def test_splits_seeds_and_positions_differ():
    names = [('train', 0), ('val', 0), ('test', 0), ('train', 1)]
    pictures = [render_scene(sample_scene(*name, index), 32).image for name in names for index in range(40)]
    assert len({digest(picture) for picture in pictures}) == len(pictures)


def test_json_round_trip_gives_the_same_picture(scenes):
    for scene in scenes[:20]:
        again = Scene.from_dict(json.loads(json.dumps(scene.to_dict())))
        assert again == scene
    assert digest(render_scene(again, 96).image) == digest(render_scene(scene, 96).image)


def test_every_class_and_material_occurs(scenes):
    regions = Counter(name for scene in scenes for name in scene.regions)
    items = [item for scene in scenes for item in scene.objects]
    assert set(regions) == set(STUFF)
    assert {item.name for item in items} == set(VOCABULARY.things)
    assert {item.material for item in items} == set(MATERIALS)


def test_vocabulary_is_every_colour_with_every_shape_and_stuff():
    assert VOCABULARY.things == tuple(f'{colour} {shape}' for colour in COLOURS for shape in SHAPES)
    assert VOCABULARY.stuff == STUFF
    assert set(DISTANCES) == set(SHAPES) and set(TEXTURES) == set(STUFF)


def test_segments_agree_with_the_description(scenes):
    for scene in scenes[:60]:
        rendered = render_scene(scene, 128)
        names = [VOCABULARY.names[info['label']] for info in rendered.segments_info]
        assert names == [*scene.regions, *(item.name for item in scene.objects)]
        assert [info['id'] for info in rendered.segments_info] == list(range(1, len(names) + 1))
        assert [info['is_thing'] for info in rendered.segments_info] == [name not in STUFF for name in names]
        assert sorted(set(rendered.segment_map.ravel().tolist())) == list(range(1, len(names) + 1))
        visible, _ = segment_areas(scene, 128)
        assert visible.tolist() == np.bincount(rendered.segment_map.ravel())[1:].tolist()
        rows, columns = np.nonzero(rendered.segment_map == len(names))  # the frontmost object is seen whole
        front = scene.objects[-1]
        radius = front.size / 2 * 128
        distance = np.hypot(columns + 0.5 - front.centre[0] * 128, rows + 0.5 - front.centre[1] * 128)
        assert distance.max() <= radius + 0.1
        assert distance.max() >= 0.8 * radius


def test_nothing_is_hidden_small_or_crowded(scenes):
    for scene in scenes:
        assert 2 <= len(scene.objects) <= 6
        assert all(item.size >= 0.24 for item in scene.objects)
        visible, whole = segment_areas(scene, 128)
        count = len(scene.regions)
        assert (visible[:count] >= 0.9 * MIN_REGION * 128**2).all()
        assert (visible[count:] >= 0.9 * MIN_VISIBLE * whole).all()  # judged on a coarser map, hence the 10 %
        assert (visible[count:] >= 0.008 * 128**2).all()


def test_front_covers_rear(scenes):
    scene = scenes[0]
    rear = SceneObject('circle', 'red', 'plain', (0.5, 0.5), 0.5, 0.0)
    front = SceneObject('square', 'blue', 'plain', (0.5, 0.5), 0.2, 0.0)
    rendered = render_scene(Scene(scene.key, ('sand',), None, (rear, front), scene.light), 64)
    assert rendered.segment_map[32, 32] == 3
    assert rendered.segment_map[32, 18] == 2
    blue, green, red = (int(value) for value in rendered.image[32, 32])
    assert blue > red + 60 and blue > green + 60


@pytest.mark.parametrize('shape', SHAPES)
def test_shape_fills_the_unit_circle_and_stays_in_it(shape):
    axis = np.linspace(-1.3, 1.3, 261, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    inside = DISTANCES[shape](u, v) < 0
    radius = np.hypot(u, v)[inside].max()
    assert 0.85 <= radius <= 1.01
    assert 0.25 <= inside.sum() * 0.01**2 <= 3.0
    np.testing.assert_array_equal(inside, inside[:, ::-1])  # all shapes are symmetric left to right


def test_a_picture_is_the_same_scene_at_every_size():
    scene = sample_scene('val', 0, 1)
    small, large = render_scene(scene, 64), render_scene(scene, 256)
    reduced = large.segment_map[2::4, 2::4]
    assert (reduced == small.segment_map).mean() > 0.97
    blocks = large.image.reshape(64, 4, 64, 4, 3).astype(float).mean((1, 3))
    assert np.abs(blocks - small.image).mean() < 12


def test_noise_and_wave_stay_in_range():
    axis = np.linspace(0, 1, 50, dtype=np.float32)
    noise = value_noise(np.random.RandomState(0), axis, axis[:20], 7, 3)
    assert noise.shape == (20, 50) and noise.dtype == np.float32
    assert noise.min() >= -1 and noise.max() <= 1 and noise.std() > 0.2
    np.testing.assert_allclose(wave(np.array([0, 0.25, 0.5, 0.75, 1.25])), [0, -1, 0, 1, -1], atol=1e-6)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: sample_scene('trian', 0, 0), 'accepted are train, val, test'),
        (lambda: sample_scene('val', -1, 0), 'seed is -1'),
        (lambda: sample_scene('val', 0, 2**32), 'index is 4294967296'),
        (lambda: render_scene(sample_scene('val', 0, 0), 4), 'size is 4'),
        (lambda: ScenesDataset(0), 'num_scenes is 0'),
        (lambda: SceneObject('blob', 'red', 'plain', (0.5, 0.5), 0.3, 0.0), "'blob' is unknown"),
        (lambda: Scene((0,), ('snow',), None, (), None), "'snow' is unknown"),
        (lambda: Scene((0,), ('sand', 'sky'), None, (), None), '2 regions'),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message.replace('*', r'\*')):
        call()


def test_dataset_yields_what_the_pipeline_expects():
    dataset = ScenesDataset(5, split='val', seed=2, start=10, pipeline=[RenderScene(64)])
    assert len(dataset) == 5
    assert dataset.metainfo['classes'] == VOCABULARY.names
    results = dataset[3]
    assert isinstance(results['vocabulary'], Vocabulary)
    assert results['img_id'] == 13 and results['img_path'] == 'val_2_00000013.png'
    assert results['img'].shape == (64, 64, 3) and results['img'].dtype == np.uint8
    assert results['img_shape'] == results['ori_shape'] == (64, 64)
    assert results['gt_seg_map'].shape == (64, 64) and results['gt_seg_map'].dtype == np.uint8
    expected = render_scene(sample_scene('val', 2, 13), 64)
    np.testing.assert_array_equal(results['img'], expected.image)
    assert results['segments_info'] == expected.segments_info
    assert results['scene_description'] == sample_scene('val', 2, 13)


@pytest.mark.parametrize('test_mode', [False, True])
def test_packed_sample(test_mode):
    packing = dict(type='PackXDetInputs', test_mode=test_mode)
    pipeline = [dict(type='RenderScene', size=64), packing]
    packed = ScenesDataset(3, pipeline=pipeline)[1]
    sample = packed['data_samples']
    expected = render_scene(sample_scene('train', 0, 1), 64)
    labels = [info['label'] for info in expected.segments_info]
    assert packed['inputs'].shape == (3, 64, 64)
    assert sample.metainfo['vocabulary'] == VOCABULARY
    if test_mode:
        np.testing.assert_array_equal(sample.gt_panoptic_seg.sem_seg[0].numpy(), expected.segment_map)
        assert [info['label'] for info in sample.gt_panoptic_seg.segments_info] == labels
    else:
        assert sample.gt_segments.labels.tolist() == labels
        np.testing.assert_array_equal(sample.gt_segments.masks.expand()[2].numpy(), expected.segment_map == 3)


def test_demo_picture_is_a_scene_of_the_test_split():
    picture = cv2.imread(str(Path(__file__).resolve().parents[2] / 'demo' / 'demo_scene.png'))
    np.testing.assert_array_equal(picture, render_scene(sample_scene('test', 0, 37), 512).image)


@pytest.mark.parametrize('attribute', ['material', 'shape', 'colour'])
def test_things_named_by_an_attribute(attribute):
    pipeline = [dict(type='RenderScene', size=32), dict(type='NameThingsByAttribute', shares={attribute: 1.0})]
    for results in ScenesDataset(10, split='train_comp', pipeline=pipeline):
        scene, vocabulary = results['scene_description'], results['vocabulary']
        labels = [vocabulary.names[info['label']] for info in results['segments_info']]
        suffix = '' if attribute == 'shape' else ' object'
        assert labels == [*scene.regions, *(getattr(item, attribute) + suffix for item in scene.objects)]
        assert vocabulary.stuff == STUFF and not set(vocabulary.things) & set(VOCABULARY.names)


def test_share_of_scenes_with_other_names():
    step = NameThingsByAttribute(dict(material=0.5, colour=0.25))
    scenes = ScenesDataset(200, pipeline=[dict(type='RenderScene', size=16)])
    np.random.seed(0)
    sizes = Counter(len(step(results)['vocabulary']) for results in scenes)
    assert set(sizes) == {len(VOCABULARY), len(MATERIALS) + 6, len(COLOURS) + 6}
    assert 80 < sizes[len(MATERIALS) + 6] < 120 and 35 < sizes[len(COLOURS) + 6] < 65
    for shares in (dict(size=0.1), dict(shape=-0.1), dict(shape=0.6, colour=0.6)):
        with pytest.raises(ValueError, match='accepted are shares of material, shape, colour'):
            NameThingsByAttribute(shares)
