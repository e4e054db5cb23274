"""Films of the generated world: exact identities, the same everywhere."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest

from xdet.scenes.description import Scene
from xdet.scenes.films import Motion, sample_film
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene


def test_frames_are_scenes():
    film = sample_film('test', 0, 3, num_frames=30)
    assert len(film) == 30 and film == sample_film('test', 0, 3, num_frames=30)
    assert film.frame(0) == sample_scene('test', 0, 3)
    later = film.frame(29)
    assert Scene.from_dict(json.loads(json.dumps(later.to_dict()))) == later
    assert [item.name for item in later.objects] == [item.name for item in film.scene.objects]
    assert all(a.centre != b.centre for a, b in zip(later.objects, film.scene.objects, strict=True))
    drawn = list(film.render(32))[29]
    assert (drawn.image == render_scene(later, 32).image).all()
    with pytest.raises(IndexError, match='frame 30 of a film of 30'):
        film.frame(30)
    with pytest.raises(ValueError, match='num_frames is 0'):
        sample_film('test', 0, 3, num_frames=0)


def test_identities_are_exact_and_things_leave_and_return():
    gone_and_back = 0
    for index in range(4):
        film = sample_film('test', 0, index, num_frames=120, speed=3)
        seen = []
        for drawn in islice(film.render(16), 0, None, 4):
            ids = set(np.unique(drawn.segment_map).tolist())
            assert ids == {info['id'] for info in drawn.segments_info} and 0 not in ids
            names = [*film.scene.regions, *(item.name for item in film.scene.objects)]
            assert all(info['id'] <= len(names) for info in drawn.segments_info)
            seen.append(ids)
        for number in range(len(film.scene.regions) + 1, len(film.scene.regions) + len(film.scene.objects) + 1):
            there = ''.join('x' if number in ids else '.' for ids in seen).strip('.')
            gone_and_back += '.' in there
    assert gone_and_back >= 2


@pytest.mark.parametrize('velocity', [(0.02, -0.013), (-0.3, 0.7), (0.0, 0.0)])
def test_things_turn_at_walls(velocity):
    motion = Motion(velocity, (-0.1, 1.1), 0)
    places = np.array([motion.at((0.3, 0.6), frame) for frame in range(200)])
    assert (places >= -0.1).all() and (places <= 1.1).all() and tuple(places[0]) == (0.3, 0.6)
    # An independent walk, one step after the other.
    place, speed = np.array([0.3, 0.6]), np.array(velocity)
    for expected in places:
        assert np.allclose(place, expected, atol=1e-4)
        place = place + speed
        for axis in range(2):
            while not -0.1 <= place[axis] <= 1.1:
                place[axis] = 2 * (-0.1 if place[axis] < -0.1 else 1.1) - place[axis]
                speed[axis] = -speed[axis]
