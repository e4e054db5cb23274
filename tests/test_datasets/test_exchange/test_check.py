"""What a check finds, each thing once, and nothing in clean data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from xdet.datasets.exchange import AnnotatedSet, Polygon, Problems, Segment, check_set
from xdet.datasets.exchange.source import Source
from xdet.structures import encode_mask


def found(data: AnnotatedSet, **others: Source) -> dict[str, int]:
    return {key: len(finding.names) for key, finding in check_set(data, Problems(), **others).findings.items()}


def clean(data: AnnotatedSet) -> AnnotatedSet:
    """Without what the fixture has on purpose: a tiny mask, an image and a class without segments."""
    images = tuple(replace(image, segments=image.segments[:2]) for image in data.images[:3])
    return AnnotatedSet(('ring é', 'tiny thing'), images)


def test_clean_data(annotated: AnnotatedSet) -> None:
    assert found(clean(annotated)) == {}
    report = check_set(annotated, Problems())
    assert not report.errors
    assert {key: len(finding.names) for key, finding in report.findings.items()} == dict(
        unlabelled=1, unused_classes=1, tiny_masks=3
    )
    counts = report.to_dict()
    assert counts['images'] == 4 and counts['segments'] == 9 and counts['sizes'] == {'81x60': 3, '64x97': 1}
    assert counts['classes']['ring é'] == dict(segments=3, images=3) and counts['splits'] == dict(train=2, val=2)


def test_files_of_images(annotated: AnnotatedSet, tmp_path: Path) -> None:
    data = clean(annotated)
    first, second, third = data.images
    assert found(replace(data, images=(replace(first, path=''), second, third))) == dict(missing_images=1)
    assert found(replace(data, images=(first, first, second, third))) == dict(listed_twice=1, same_image=1)
    Path(second.path).write_bytes(b'no image')
    assert found(data) == dict(unreadable_images=1)
    shutil.copy(third.path, second.path)  # of the same size, in another split
    report = check_set(data, Problems())
    assert list(report.findings) == ['same_image_in_splits'] and report.errors == 1
    Image.fromarray(np.zeros((7, 9, 3), np.uint8)).save(second.path)
    assert found(data) == dict(wrong_sizes=1)


def test_images_that_are_not_listed(annotated: AnnotatedSet) -> None:
    assert found(clean(annotated), source=Source(Path())) == dict(unlisted_images=1)


def test_segments(annotated: AnnotatedSet) -> None:
    data = clean(annotated)
    first = data.images[0]
    height, width = first.size

    def with_segment(*segments: Segment) -> dict[str, int]:
        return found(replace(data, images=(replace(first, segments=first.segments + segments), *data.images[1:])))

    square = np.zeros(first.size, bool)
    square[10:40, 10:40] = True
    one = Segment('ring é', first.size, mask=encode_mask(square))
    shifted = replace(one, mask=encode_mask(np.roll(square, 1, axis=1)))
    assert with_segment(one) == {}
    assert with_segment(one, shifted) == dict(same_twice=1)
    assert with_segment(one, replace(shifted, name='tiny thing')) == {}
    assert with_segment(replace(one, mask=encode_mask(square & False))) == dict(empty_masks=1)
    assert with_segment(replace(one, mask=encode_mask(square | True))) == dict(huge_masks=1)
    assert with_segment(replace(one, box=(-5.0, 0.0, 40.0, 40.0))) == dict(boxes_outside=1)
    assert with_segment(replace(one, box=(40.0, 40.0, 60.0, 60.0))) == dict(box_is_not_of_mask=1)
    assert with_segment(Segment('ring é', first.size, box=(5.0, 5.0, 5.0, 9.0))) == dict(empty_boxes=1)
    far = np.array([[5.0, 5.0], [width + 9.0, 5.0], [5.0, 20.0]])
    assert with_segment(Segment('ring é', first.size, (Polygon(far),))) == dict(outlines_outside=1)


def test_names(annotated: AnnotatedSet) -> None:
    data = clean(annotated)
    for name in ('tiny things', 'Tiny-Thing', 'tiny thin'):
        first = data.images[0]
        more = replace(first, segments=(*first.segments, replace(first.segments[1], name=name)))
        report = found(AnnotatedSet((*data.names, name), (more, *data.images[1:])))
        assert report == dict(alike_classes=1, absent_in_split=1)
    assert 'alike_classes' not in found(replace(data, names=('car', 'cart', 'bus', 'left eye', 'right eye')))


def test_mistakes_of_readers_are_errors(annotated: AnnotatedSet) -> None:
    problems = Problems(strict=False)
    with problems.entry():
        raise ValueError('a.json: annotation 5: is wrong')
    problems.leave_out('have no outline', 'a.json: annotation 6')
    report = check_set(clean(annotated), problems)
    assert report.errors == 1 and report.findings['left_out'].names == ['a.json: annotation 6: have no outline']
