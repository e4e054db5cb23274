"""YOLO's segmentation layout: ``data.yaml``, ``images/SPLIT``, and ``labels/SPLIT`` with a text file per image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment
from xdet.datasets.exchange.files import Content, unique_file
from xdet.datasets.exchange.polygons import join
from xdet.datasets.exchange.source import (
    Source,
    checked_points,
    checked_size,
    image_size_of,
    inner_path,
    list_files,
    list_images,
    parse_number,
    unique_names,
)
from xdet.io.errors import cause
from xdet.io.reading import read_list, read_text, shorten
from xdet.io.schema import checked, shown

_SPLITS = ('train', 'val', 'valid', 'test')


def read(source: Source) -> AnnotatedSet:
    """Read a folder with ``data.yaml``, or that file.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    root = source.path if source.path.is_dir() else source.path.parent
    file = source.path if source.path.is_file() else root / 'data.yaml'
    about = _read_yaml(file) if file.is_file() else {}
    names = _names(about.get('names'), about.get('nc'), source, file, root)
    images: list[AnnotatedImage] = []
    poses = about.get('kpt_shape') is not None
    seen: set[Path] = set()
    folders = list(_folders(about, root, file))
    for split, folder in folders:
        base = source.images or folder
        for name in list_images(base):
            with source.problems.entry():
                path = base / name
                size = image_size_of(path)
                labels = _labels_of(folder, name)
                seen.add(labels)
                rows = read_text(labels).splitlines() if labels.is_file() else []
                segments = []
                for number, row in enumerate(rows, start=1):
                    with source.problems.entry():
                        where = f'{labels}: line {number}'
                        if poses:  # behind the box are keypoints, which are no outline
                            row = ' '.join(row.split()[:5])
                        segment = _segment(row, names, size, where)
                        if segment is None:
                            if row.strip():
                                source.problems.leave_out('have neither three corners nor a box', where)
                        else:
                            segments.append(segment)
                images.append(AnnotatedImage(name, size, tuple(segments), split, str(path)))
    if not images:
        raise FileNotFoundError(f'{shorten(str(root))}: has no images where {file.name} says they are, or in images/')
    if not any(labels.is_file() for labels in seen):
        raise FileNotFoundError(f'{shorten(str(root))}: has no labels, such as {shorten(str(min(seen)))}')
    for labels in {_labels_of(folder, 'a').parent for _, folder in folders}:
        for name in list_files(labels, ('.txt',)):
            if labels / name not in seen and name not in ('classes.txt', 'labels.txt'):
                source.problems.leave_out('are labels whose image is not there', str(labels / name))
    if poses:
        source.problems.leave_out('have keypoints, of which only the boxes are read', str(file))
    return AnnotatedSet(names, tuple(images))


def _read_yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    text = read_text(path, max_bytes=1 << 20)
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f'{path}: not valid YAML ({shorten(cause(error))})') from None
    if not isinstance(content, Mapping):
        raise ValueError(f'{path}: is {shown(content)}; it must have the keys names and train')
    return content


def _names(given: Any, count: Any, source: Source, file: Path, root: Path) -> tuple[str, ...]:
    if source.names:
        return unique_names(source.names, 'the names given')
    if given is None or given in ([], {}):
        lists = [path for path in (root / 'classes.txt', root / 'labels.txt') if path.is_file()]
        if not lists:
            raise ValueError(f'{file}: says no class names (names); labels have numbers only')
        return unique_names(read_list(lists[0]), str(lists[0]))
    if isinstance(given, Mapping):
        by_number = {str(number): name for number, name in given.items()}
        if by_number.keys() != set(map(str, range(len(given)))):
            raise ValueError(f'{file}: the keys of names must be 0 to {len(given) - 1}, each once')
        given = [by_number[str(number)] for number in range(len(given))]
    words = [_word(name, file) for name in checked(given, list, f'{file}: names')]
    if count is not None and checked(count, int, f'{file}: nc') != len(words):
        raise ValueError(f'{file}: nc is {count}, but names lists {len(words)} classes; they must agree')
    return unique_names(words, f'{file}: names')


def _word(name: Any, file: Path) -> str:
    """A class name of YAML, which reads words without quotes as other things."""
    if name is None or isinstance(name, bool):
        raise ValueError(
            f'{file}: a name is read as {shown(name)}; write names such as yes, no, on, off and null in quotes'
        )
    return str(name) if isinstance(name, (int, float)) else str(checked(name, str, f'{file}: a name'))


def _folders(about: Mapping[str, Any], root: Path, file: Path) -> Iterator[tuple[str, Path]]:
    """Splits and their folders of images."""
    told = [(split, about[split]) for split in _SPLITS if about.get(split)]
    seen: set[Path] = set()
    base = root
    if isinstance(about.get('path'), str) and not Path(about['path']).is_absolute():
        inside = root / about['path']
        base = inside if '..' not in Path(about['path']).parts and inside.is_dir() else root
    for split, given in told:
        for one in given if isinstance(given, list) else [given]:
            text = checked(one, str, f'{file}: {split}').replace('\\', '/')
            while text.startswith('../'):  # of an exporter, which means the folder of the file all the same
                text = text[3:]
            if Path(text).is_absolute() or text[1:2] == ':':
                raise ValueError(f'{file}: {split} is {shown(one)}; accepted are folders below that of the file')
            folder = base / inner_path(text.removeprefix('./'), f'{file}: {split}')
            if folder.suffix == '.txt' or not folder.is_dir():
                raise FileNotFoundError(
                    f'{file}: {split} is {shown(one)}, which is no folder below {shorten(str(base))}'
                )
            if folder not in seen:
                seen.add(folder)
                yield ('val' if split == 'valid' else split), folder
    if not told:
        images = root / 'images' if (root / 'images').is_dir() else root
        parts = [split for split in _SPLITS if (images / split).is_dir()]
        yield from ((('val' if part == 'valid' else part), images / part) for part in parts)
        if not parts:
            yield '', images


def _labels_of(folder: Path, name: str) -> Path:
    parts = list(folder.parts)
    for place in reversed(range(len(parts))):
        if parts[place] == 'images':
            parts[place] = 'labels'
            break
    return (Path(*parts) / name).with_suffix('.txt')


def _segment(row: str, names: tuple[str, ...], size: tuple[int, int], where: str) -> Segment | None:
    """One line: class, then x and y of corners (or centre, width and height of a box), then perhaps a score."""
    cells = row.split()
    if not cells:
        return None
    label = parse_number(cells[0], f'{where}: the class', int)
    if not 0 <= label < len(names):
        raise ValueError(f'{where}: the class is {label}; accepted are 0 to {len(names) - 1}')
    values = [parse_number(cell, f'{where}: a coordinate') for cell in cells[1:]]
    score = values.pop() if len(values) % 2 and len(values) >= 5 else None
    height, width = checked_size(size, where)
    scaled = [value * (height if place % 2 else width) for place, value in enumerate(values)]
    if len(values) == 4:
        x, y, w, h = scaled
        checked_points(scaled, size, where)
        if min(w, h) <= 0:
            return None
        return Segment(names[label], size, box=(x - w / 2, y - h / 2, x + w / 2, y + h / 2), score=score)
    points = checked_points(scaled, size, where)
    if len(points) < 3:
        return None
    return Segment(names[label], size, (Polygon(np.array(points, float)),), score=score)


def files(data: AnnotatedSet) -> Iterator[tuple[str, Content]]:
    """``data.yaml``, labels and images; several parts and holes of a segment become one ring."""
    import yaml

    taken: set[str] = set()
    splits = [split or 'train' for split in data.splits] or ['train']
    for image in data.images:
        split = image.split or 'train'
        # Two images that differ in their suffix alone would share their labels.
        stem = unique_file(f'labels/{split}/{Path(image.file).with_suffix(".txt").as_posix()}', taken)
        yield stem, ''.join(_row(segment, data.names) for segment in image.segments).encode()
        inner = Path(stem).relative_to(f'labels/{split}').with_suffix(Path(image.file).suffix or '.jpg')
        yield f'images/{split}/{inner.as_posix()}', Path(image.path)
    about = dict(
        path='.',
        train=f'images/{"train" if "train" in splits else splits[0]}',
        val=f'images/{"val" if "val" in splits else splits[0]}',
        **{split: f'images/{split}' for split in splits if split not in ('train', 'val')},
        names=dict(enumerate(data.names)),
    )
    yield 'data.yaml', yaml.safe_dump(about, sort_keys=False, allow_unicode=True).encode()


def _row(segment: Segment, names: tuple[str, ...]) -> str:
    outlines = segment.outlines
    if not outlines:
        return ''
    height, width = segment.size
    label = names.index(segment.name)
    if segment.rle is None:
        x1, y1, x2, y2 = np.clip(segment.bounds, 0, [width, height, width, height])
        numbers = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
    else:
        numbers = (np.clip(join(outlines), 0, [width, height]) / [width, height]).reshape(-1).tolist()
    return ' '.join([str(label), *(f'{value:.7g}' for value in numbers)]) + '\n'
