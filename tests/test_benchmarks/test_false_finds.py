"""Segments count as right where most of them lies in things of their name."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, Polygon, Segment, write_annotations

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / 'benchmarks' / 'false_finds.py'))


def square(name: str, left: int) -> Segment:
    corners = np.array([[left, 0], [left + 20, 0], [left + 20, 40], [left, 40]], float)
    return Segment(name, (40, 60), (Polygon(corners),))


def test_right_and_false() -> None:
    image = AnnotatedImage('a.png', (40, 60), (square('couch', 0), square('couch', 20)))
    masks = np.zeros((3, 40, 60), bool)
    masks[0, :, :40] = masks[1, :, 25:] = masks[2, :, :9] = True
    counts = TOOL['judge'](zip(['sofa', 'sofa', 'dog'], masks, strict=True), image, dict(couch='sofa'))
    assert counts == {None: 1, 'sofa': 1, 'dog': 1}
    report = TOOL['summary']([counts, TOOL['judge']([], image, {})])
    assert report == dict(images=2, right=1, false=2, images_with_false=1, false_by_name=dict(sofa=1, dog=1))


def test_names_that_are_said() -> None:
    image = AnnotatedImage('a.png', (40, 60), (square('couch', 0), square('dog', 20)))
    counts = TOOL['judge_names'](['sofa', 'cat', 'dog', 'bus'], ['cat', 'dog'], image, dict(couch='sofa'))
    assert counts == dict(right=1, right_not_seen=1, false=1, false_not_seen=1)


def test_program(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photo = ROOT / 'demo' / 'photos' / 'chelsea.jpg'
    width, height = Image.open(photo).size
    whole = Polygon(np.array([[0, 0], [width, 0], [width, height], [0, height]], float))
    cat = AnnotatedImage(photo.name, (height, width), (Segment('kitty', (height, width), (whole,)),), path=str(photo))
    write_annotations(AnnotatedSet(('kitty',), (cat,)), 'coco', tmp_path / 'out')
    arguments = [str(tmp_path / 'out' / 'instances.json'), '--images', str(photo.parent), '--names', 'cat', 'bus']
    TOOL['main']([*arguments, '--rename', 'kitty=cat', '--json', str(tmp_path / 'it.json')])
    assert '"right": 1' in capsys.readouterr().out
    report = json.loads((tmp_path / 'it.json').read_text())
    assert report['right'] == 1 and report['names_in_captions'] == report['said_to_be_there'] == dict(right=1)
