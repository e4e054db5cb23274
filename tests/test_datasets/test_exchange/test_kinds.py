"""Every format gives back what was written into it, as far as it can hold it."""

from __future__ import annotations

import errno
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny.annotated import masks
from tiny.mutation import mutated

from xdet.datasets.exchange import AnnotatedSet, Polygon, Segment, detect_kind, read_annotations, write_annotations
from xdet.datasets.exchange.entries import checked_name, read_xml
from xdet.datasets.exchange.kinds import KINDS, WRITTEN
from xdet.datasets.exchange.polygons import iou
from xdet.datasets.exchange.source import Source, list_files
from xdet.datasets.files.outlines import check_coordinates
from xdet.io import warnings
from xdet.structures import encode_mask

LEAST = {True: 0.999, False: 0.97}
WITH_SPLITS = [kind for kind in WRITTEN if kind != 'coco-results']


def written(data: AnnotatedSet, kind: str, out: Path) -> Source:
    """What was written, to be read."""
    write_annotations(data, kind, out)
    return Source(out / 'results.json', of=out / 'images.json') if kind == 'coco-results' else Source(out)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings."""
    lines: list[str] = []
    monkeypatch.setattr(warnings, 'warn', lines.append)
    monkeypatch.setattr(warnings, '_reported', set())
    return lines


def by_file(data: AnnotatedSet) -> dict:
    return {Path(image.file).stem: image for image in data.images}


@pytest.mark.parametrize('kind', WRITTEN)
def test_round_trip(kind: str, annotated: AnnotatedSet, tmp_path: Path) -> None:
    source = written(annotated, kind, tmp_path / 'out')
    assert detect_kind(source.path) == kind.removesuffix('-polygons').removesuffix('-masks')
    back = read_annotations(source)
    assert back.names == annotated.names and not source.problems.left_out
    assert kind not in WITH_SPLITS or sorted(image.split for image in back.images) == ['train', 'train', 'val', 'val']
    images = by_file(back)
    assert images.keys() == by_file(annotated).keys()
    for stem, image in by_file(annotated).items():
        other = images[stem]
        assert other.size == image.size and Path(other.path).read_bytes() == Path(image.path).read_bytes()
        assert [segment.name for segment in other.segments] == [segment.name for segment in image.segments]
        for first, second in zip(image.segments, other.segments, strict=True):
            assert iou(first.rle, second.rle) >= LEAST[KINDS[kind].exact]
            assert np.abs(np.subtract(first.bounds, second.bounds)).max() <= (0.001 if KINDS[kind].exact else 1)


@pytest.mark.parametrize('kind', ['coco', 'yolo-seg', 'labelme', 'cvat-polygons', 'label-studio-polygons', 'geojson'])
def test_polygons_stay_as_they_are(kind: str, annotated: AnnotatedSet, tmp_path: Path) -> None:
    corners = np.array([[3.25, 4.5], [40.125, 7.75], [22.5, 50.0]])
    first = annotated.images[0]
    segment = Segment('ring é', first.size, (Polygon(corners),))
    data = replace(annotated, images=(replace(first, segments=(segment,)),))
    (image,) = read_annotations(written(data, kind, tmp_path / 'out')).images
    ((polygon,),) = (one.polygons for one in image.segments)
    assert np.abs(polygon.outer - corners).max() < 1e-4 and not polygon.holes


@pytest.mark.parametrize('kind', sorted(set(WRITTEN) - {'coco-panoptic', 'geojson'}))
def test_boxes_alone(kind: str, annotated: AnnotatedSet, tmp_path: Path) -> None:
    first = annotated.images[0]
    segment = Segment('tiny thing', first.size, box=(3.0, 4.0, 20.0, 50.0))
    data = replace(annotated, images=(replace(first, segments=(segment,)),))
    (image,) = read_annotations(written(data, kind, tmp_path / 'out')).images
    (back,) = image.segments
    assert back.rle is None and np.abs(np.subtract(back.bounds, segment.bounds)).max() < 1e-4


@pytest.mark.parametrize('kind', sorted({'coco', 'labelme', 'labelme-masks', 'cvat', 'label-studio', 'png', 'geojson'}))
def test_scores_crowds_and_attributes(kind: str, annotated: AnnotatedSet, tmp_path: Path) -> None:
    first = annotated.images[0]
    told = dict(iscrowd=True, score=0.625, attributes=dict(colour='red & "blue"'))
    segment = Segment('tiny thing', first.size, mask=encode_mask(masks(*first.size)[0]), **told)
    data = replace(annotated, images=(replace(first, segments=(segment,)),))
    (image,) = read_annotations(written(data, kind, tmp_path / 'out')).images
    (back,) = image.segments
    assert {key: getattr(back, key) for key in told} == told


def test_overlaps_go_to_the_smaller_one(annotated: AnnotatedSet, tmp_path: Path) -> None:
    first = annotated.images[0]
    small, large = np.zeros((2, *first.size), bool)
    small[10:20, 10:20], large[5:40, 5:40] = True, True
    segments = tuple(Segment('ring é', first.size, mask=encode_mask(mask)) for mask in (small, large))
    data = replace(annotated, images=(replace(first, segments=segments),))
    for kind in ('voc', 'coco-panoptic'):
        (image,) = read_annotations(written(data, kind, tmp_path / kind)).images
        assert (image.segments[0].array() == small).all() and (image.segments[1].array() == large & ~small).all()
    (image,) = read_annotations(written(data, 'png', tmp_path / 'png')).images
    assert (image.segments[1].array() == large).all()


def test_equal_paths_in_two_splits_stay_apart(annotated: AnnotatedSet, tmp_path: Path) -> None:
    images = tuple(replace(image, file='0.png') for image in (annotated.images[0], annotated.images[2]))
    back = read_annotations(written(replace(annotated, images=images), 'coco', tmp_path / 'out'))
    assert sorted(image.file for image in back.images) == ['train/0.png', 'val/0.png']
    same = replace(annotated, images=(images[0], images[0]))
    case = replace(annotated, images=(replace(images[0], file='A.png'), replace(images[0], file='a.PNG')))
    with pytest.raises(ValueError, match='images train/A.png and train/a.PNG would be one file on many systems'):
        write_annotations(case, 'coco', tmp_path / 'case')
    with pytest.raises(ValueError, match='annotated twice'):
        write_annotations(same, 'coco', tmp_path / 'other')


def test_nothing_is_half_written(annotated: AnnotatedSet, tmp_path: Path) -> None:
    gone = replace(annotated, images=(*annotated.images[:2], replace(annotated.images[2], path='')))
    out = tmp_path / 'new' / 'out'
    with pytest.raises(FileNotFoundError, match='--images DIR'):
        write_annotations(gone, 'voc', out)
    assert not out.parent.exists()
    write_annotations(gone, 'voc', out, copy_images=False)
    assert not (out / 'JPEGImages').exists()
    with pytest.raises(FileExistsError, match='not empty'):
        write_annotations(annotated, 'voc', out)


def test_a_full_disk_is_told_with_the_folder(
    annotated: AnnotatedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{tmp_path / 'out'}'")):
        write_annotations(annotated, 'png', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_nothing_leaves_the_folder(annotated: AnnotatedSet, tmp_path: Path) -> None:
    up = replace(annotated, images=tuple(replace(image, split='../up') for image in annotated.images))
    for kind in ('coco', 'yolo-seg', 'labelme', 'voc', 'geojson'):
        with pytest.raises(ValueError, match='leaves the folder'):
            write_annotations(up, kind, tmp_path / 'in' / kind)
    assert not (tmp_path / 'in').exists() and [path.name for path in tmp_path.glob('*up*')] == []


@pytest.mark.parametrize('kind', ['coco', 'labelme', 'geojson', 'png'])
def test_numbers_that_json_cannot_hold(kind: str, annotated: AnnotatedSet, tmp_path: Path) -> None:
    image = annotated.images[0]
    segment = replace(image.segments[0], attributes=dict(depth=[1.0, float('nan')]))
    data = replace(annotated, images=(replace(image, segments=(segment,)),))
    with pytest.raises(ValueError, match=r'depth\[1\] is nan, which JSON cannot hold'):
        write_annotations(data, kind, tmp_path / 'out')
    assert not list(tmp_path.glob('out*')) and not list(tmp_path.glob('.out*'))


def test_a_full_disk_is_told_of_the_folder(
    annotated: AnnotatedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device', str(source), None, str(target))

    monkeypatch.setattr('xdet.datasets.exchange.kinds.shutil.copyfile', full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/out'$"):
        write_annotations(annotated, 'voc', tmp_path / 'out')
    assert not list(tmp_path.glob('*out*'))


def test_one_file(annotated: AnnotatedSet, tmp_path: Path) -> None:
    write_annotations(annotated, 'cvat', tmp_path / 'a.xml')
    assert len(read_annotations(Source(tmp_path / 'a.xml')).images) == 4
    with pytest.raises(ValueError, match='name a folder'):
        write_annotations(annotated, 'labelme', tmp_path / 'a.json')
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ['a.xml']


def test_documentation_is_the_table() -> None:
    text = (Path(__file__).resolve().parents[3] / 'docs' / 'data_formats.md').read_text(encoding='utf-8')
    for name, kind in KINDS.items():
        read = 'yes, with `--of FILE`' if name == 'coco-results' else 'yes'
        write = f'yes | {kind.lost}' if name in WRITTEN else 'no |'
        assert f'| `{name}` | {kind.help} | {read} | {write} |\n' in text


@pytest.mark.parametrize('kind', ['coco', 'coco-panoptic', 'labelme', 'label-studio-polygons', 'geojson'])
def test_damaged_values_are_mistakes_that_name_the_file(kind: str, annotated: AnnotatedSet, tmp_path: Path) -> None:
    first = annotated.images[0]
    source = written(replace(annotated, images=(replace(first, split=''),)), kind, tmp_path / 'out')
    (path,) = (
        (source.path,) if source.path.is_file() else [path for path in source.path.rglob('*json') if path.is_file()]
    )
    valid = json.loads(path.read_text())

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        path.write_text(json.dumps(mutated(valid, data)))
        try:
            images = read_annotations(Source(source.path), kind).images
        except (OSError, ValueError) as error:
            assert str(source.path) in str(error) and '\n' not in str(error) and len(str(error)) < 1500
        else:
            assert all(segment.bounds and segment.area >= 0 for image in images for segment in image.segments)

    check()


def test_encoding_that_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / 'a.xml'
    path.write_text('<?xml version="1.0" encoding="x"?><annotations/>')
    with pytest.raises(ValueError, match='a.xml: not valid XML .unknown encoding'):
        read_xml(path)


@pytest.mark.parametrize('number', [10**400, -(10**400), float('nan'), float('inf')])
def test_coordinates_beyond_all_bounds(number: float) -> None:
    with pytest.raises(ValueError, match='x has the coordinate .*; coordinates must be finite numbers'):
        check_coordinates([0.5, number, 1.0], (4, 4), 'x')


def test_paths_as_text(annotated: AnnotatedSet, tmp_path: Path) -> None:
    write_annotations(annotated, 'geojson', str(tmp_path / 'a'), copy_images=False)
    images = Path(annotated.images[0].path).parent
    back = read_annotations(str(tmp_path / 'a'), 'geojson', images=str(images))
    assert sorted(image.path for image in back.images) == sorted(image.path for image in annotated.images)


def test_names_that_the_list_of_voc_has_for_no_class(annotated: AnnotatedSet, tmp_path: Path) -> None:
    data = replace(annotated, names=(*annotated.names, '_background_'))
    with pytest.raises(ValueError, match='keeps the name _background_ for pixels of no class'):
        write_annotations(data, 'voc', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('names', ['names: []', 'names: {}', 'nc: 2'])
def test_yolo_without_names(names: str, tmp_path: Path) -> None:
    (tmp_path / 'data.yaml').write_text(f'train: images\n{names}\n')
    (tmp_path / 'images').mkdir()
    with pytest.raises(ValueError, match='data.yaml: says no class names'):
        read_annotations(tmp_path)
    (tmp_path / 'classes.txt').write_text('cat\n\ndog\n')
    with pytest.raises(ValueError, match='classes.txt: line 2 is empty'):
        read_annotations(tmp_path)


@pytest.mark.parametrize('kind', WRITTEN)
def test_hidden_images_are_not_lost(annotated: AnnotatedSet, kind: str, tmp_path: Path, warned: list[str]) -> None:
    first = replace(annotated.images[0], file='.clips/.a.png', split='')
    data = replace(annotated, images=(first,))
    back = read_annotations(written(data, kind, tmp_path / 'out'), kind)
    assert [(image.file, len(image.segments)) for image in back.images] == [('_.clips/_.a.png', 3)]
    renamed = '1 hidden images are renamed, as readers of folders pass them over: .clips/.a.png becomes _.clips/_.a.png'
    assert renamed in warned and not any('left out' in line for line in warned)


@pytest.mark.parametrize('kind', WRITTEN)
def test_hidden_images_that_are_not_copied(annotated: AnnotatedSet, kind: str, tmp_path: Path) -> None:
    data = replace(annotated, images=(replace(annotated.images[0], file='.a.png', split=''),))
    folder = tmp_path / 'photographs'
    folder.mkdir()
    shutil.copyfile(annotated.images[0].path, folder / '.a.png')
    if KINDS[kind].beside:
        with pytest.raises(ValueError, match=f'image .a.png is hidden, so {kind} would be read without it'):
            write_annotations(data, kind, tmp_path / 'out', copy_images=False)
        return
    write_annotations(data, kind, tmp_path / 'out', copy_images=False)
    out = tmp_path / 'out'
    results = (out / 'results.json', folder, (), out / 'images.json')
    source = Source(*results) if kind == 'coco-results' else Source(out, folder)
    (image,) = read_annotations(source, kind).images
    assert (image.file, len(image.segments), bool(image.path)) == ('.a.png', 3, True)


def test_hidden_files_are_told(tmp_path: Path, warned: list[str]) -> None:
    for name in ('.a.json', '._b.json', 'c.json', '.git/d.json'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{}')
    assert list_files(tmp_path, ('.json',)) == ['c.json']
    assert warned == [f"{tmp_path}: 1 hidden files are left out, first '.a.json'; rename those that count"]


@pytest.mark.parametrize('name', ['traffic\nlight', 'a\x1b[2J'])
def test_names_that_cannot_be_printed_are_named(annotated: AnnotatedSet, name: str, tmp_path: Path) -> None:
    write_annotations(annotated, 'coco', tmp_path / 'out')
    path = tmp_path / 'out' / 'train.json'
    content = json.loads(path.read_text())
    content['categories'][0]['name'] = name
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(f'{name!r} has characters that cannot be printed')):
        read_annotations(path)
    with pytest.raises(ValueError, match='line 3: the name: .* has characters that cannot be printed'):
        checked_name(name, 'line 3')
    assert checked_name(' می‌خواهم', 'x') == 'می‌خواهم'  # with a letter that is not seen, and needed
