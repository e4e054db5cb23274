"""Depth of the generated world: exact, by drawing order, the same everywhere, and without effect on anything else."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from xdet.scenes import RenderDepth, RenderScene, ScenesDataset
from xdet.scenes.depth import FARTHEST, scene_depth
from xdet.scenes.description import Light, Scene, SceneObject
from xdet.scenes.films import sample_film
from xdet.scenes.render import outline_distance, render_scene
from xdet.scenes.sampling import sample_scene


def test_same_numbers_give_the_same_bytes() -> None:
    state = hashlib.sha256()
    for split, seed, index, size in (('train', 0, 0, 64), ('val', 0, 7, 128), ('test', 3, 123456, 160)):
        state.update(scene_depth(sample_scene(split, seed, index), size).tobytes())
    assert state.hexdigest()[:16] == 'dce2d14d5e156333'


def test_whatever_is_drawn_over_something_is_nearer() -> None:
    for index in range(40):
        scene = sample_scene('train', 0, index)
        depth = scene_depth(scene, 96)
        assert depth.dtype == np.float32 and 0.5 < depth.min() and depth.max() <= FARTHEST
        segment_map = render_scene(scene, 96).segment_map
        below = scene_depth(Scene(scene.key, scene.regions, scene.border, (), scene.light), 96)
        for order, item in enumerate(scene.objects):
            seen = segment_map == len(scene.regions) + order + 1
            assert (depth[seen] < below[seen]).all()
            window, distance = outline_distance(item, 96)
            covered = np.zeros_like(seen)
            covered[window] = distance < 0
            hidden = scene_depth(Scene(scene.key, scene.regions, scene.border, scene.objects[:order], scene.light), 96)
            assert (depth[seen].max() < hidden[covered].min()) and not (seen & ~covered).any()
        untouched = segment_map <= len(scene.regions)
        np.testing.assert_array_equal(depth[untouched], below[untouched])


def test_a_thing_is_a_cushion() -> None:
    item = SceneObject('circle', 'red', 'plain', (0.5, 0.5), 0.5, 0.0)
    scene = Scene((0,), ('sky',), None, (item,), Light(1.0, (0.0, 0.0), 0.0))
    depth = scene_depth(scene, 201)
    line = depth[100][render_scene(scene, 201).segment_map[100] == 2]
    middle = len(line) // 2
    assert (np.diff(line[:middle]) <= 0).all() and (np.diff(line[middle:]) >= 0).all()
    assert line[0] - line[middle] == pytest.approx(0.75 * 0.5, abs=0.02)


def test_the_image_does_not_know_its_depth() -> None:
    plain = ScenesDataset(4, pipeline=[RenderScene(48)])
    with_depth = ScenesDataset(4, pipeline=[RenderScene(48), RenderDepth()])
    for first, second in zip(plain, with_depth, strict=True):
        np.testing.assert_array_equal(first['img'], second['img'])
        np.testing.assert_array_equal(first['gt_seg_map'], second['gt_seg_map'])
        assert second['loaded_depth'].values.shape == (48, 48)


def test_things_outside_of_the_image() -> None:
    film = sample_film('train', 0, 3, num_frames=60, speed=8.0)
    for index in range(0, 60, 6):
        assert np.isfinite(scene_depth(film.frame(index), 32)).all()
