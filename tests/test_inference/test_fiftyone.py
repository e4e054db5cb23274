"""Adapters to FiftyOne, with a stand-in of the classes they use, and with the library where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny.annotated import make_set

from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, Segment
from xdet.inference.outputs.fiftyone import from_fiftyone, to_detections
from xdet.structures import decode_mask, encode_mask


class Detection(SimpleNamespace):
    """Has the fields of ``fiftyone.Detection``."""

    def __init__(self, label=None, bounding_box=None, mask=None, confidence=None, **fields: Any) -> None:
        super().__init__(label=label, bounding_box=bounding_box, mask=mask, confidence=confidence, **fields)


class Sample(dict):
    """Has the parts of ``fiftyone.Sample`` that are used."""

    def __init__(self, filepath: str, **fields: Any) -> None:
        super().__init__(fields)
        self.filepath = filepath


STAND_IN = SimpleNamespace(
    Detection=Detection, Detections=lambda detections: SimpleNamespace(detections=detections), Sample=Sample
)


@pytest.fixture(params=['stand-in', 'library'])
def fiftyone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == 'library':
        return pytest.importorskip('fiftyone', reason='fiftyone is not installed', exc_type=ImportError)
    monkeypatch.setitem(sys.modules, 'fiftyone', STAND_IN)
    return STAND_IN


def test_round_trip_is_exact(fiftyone: Any, tmp_path: Path) -> None:
    data = make_set(tmp_path / 'pictures')
    samples = [fiftyone.Sample(filepath=image.path, ground_truth=to_detections(image)) for image in data.images]
    again = from_fiftyone(samples)
    assert again.names == tuple(name for name in data.names if name != 'unused')
    assert [(image.file, image.size) for image in again.images] == [(image.file, image.size) for image in data.images]
    for before, after in zip(data.images, again.images, strict=True):
        assert [segment.name for segment in after.segments] == [segment.name for segment in before.segments]
        for one, other in zip(before.segments, after.segments, strict=True):
            assert (one.array() == other.array()).all()


def test_detections_are_relative_boxes_with_masks(fiftyone: Any) -> None:
    mask = np.zeros((20, 40), bool)
    mask[5:10, 10:30] = True
    mask[5, 10] = False
    box = Segment('b', (20, 40), box=(-4.0, 0.0, 20.0, 10.0), iscrowd=True)
    empty = Segment('c', (20, 40), mask=encode_mask(np.zeros((20, 40), bool)))
    segments = (Segment('a', (20, 40), mask=encode_mask(mask), score=0.5), box, empty)
    first, second = to_detections(AnnotatedImage('x.png', (20, 40), segments)).detections
    assert (first.label, first.confidence, first.bounding_box) == ('a', 0.5, [0.25, 0.25, 0.5, 0.25])
    assert (first.mask == mask[5:10, 10:30]).all()
    assert (second.label, second.mask, second.bounding_box) == ('b', None, [0.0, 0.0, 0.5, 0.5])


def test_result_of_a_model(fiftyone: Any, inferencer: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    found = inferencer.segment(tmp_path / 'a.png', ['cat', 'dog'])
    detections = found.to_fiftyone().detections
    kept = [place for place, mask in enumerate(found.masks) if mask.any()]
    assert [row.label for row in detections] == [found.names[place] for place in kept] != []
    sample = fiftyone.Sample(filepath=str(tmp_path / 'a.png'), found=found.to_fiftyone())
    (image,) = from_fiftyone([sample], 'found').images
    for place, segment in zip(kept, image.segments, strict=True):
        assert (decode_mask(segment.mask) == found.masks[place]).all()
        assert segment.score == pytest.approx(found.scores[place])


def test_masks_of_another_size_are_stretched(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / 'a.png')
    row = Detection('a', [0.5, 0.2, 0.7, 0.4], np.array([[255, 0], [0, 255]], np.uint8))  # leaves the image
    data = from_fiftyone([Sample(str(tmp_path / 'a.png'), ground_truth=SimpleNamespace(detections=[row]))])
    expected = np.zeros((10, 20), bool)
    expected[2:4, 10:17] = expected[4:6, 17:20] = True
    assert (data.images[0].segments[0].array() == expected).all()


@pytest.mark.parametrize(
    'found, told',
    [
        (SimpleNamespace(), 'is SimpleNamespace; accepted are Detections'),
        (SimpleNamespace(detections=[Detection(None, [0, 0, 1, 1])]), 'detection 0: the name is'),
        (SimpleNamespace(detections=[Detection('a', [0, 0, 0, 1])]), 'its box is'),
        (SimpleNamespace(detections=[Detection('a', [0, 0, float('nan'), 1])]), 'its box is'),
        (SimpleNamespace(detections=[Detection('a', [0, 0, 900, 1], np.ones((2, 2)))]), 'its mask has the shape'),
        (SimpleNamespace(detections=[Detection('a', [0, 0, 1, 1], np.ones(3))]), 'its mask has the shape'),
    ],
)
def test_damaged_samples(found: Any, told: str, tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(path)
    with pytest.raises(ValueError, match='a.png: ') as caught:
        from_fiftyone([Sample(str(path), ground_truth=found)])
    assert told in str(caught.value)
    with pytest.raises(ValueError, match="has no field 'other'"):
        from_fiftyone([Sample(str(path), ground_truth=None)], 'other')
    assert from_fiftyone([Sample(str(path), ground_truth=None)]) == AnnotatedSet(
        (), (AnnotatedImage('a.png', (10, 20), path=str(path)),)
    )


def test_without_fiftyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'fiftyone', None)
    with pytest.raises(ImportError, match='to_fiftyone needs fiftyone .*; pip install fiftyone'):
        to_detections(AnnotatedImage('a.png', (1, 1)))
