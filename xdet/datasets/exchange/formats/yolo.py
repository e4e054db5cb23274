"""YOLO's segmentation layout: ``data.yaml``, ``images/SPLIT``, and ``labels/SPLIT`` with a text file per image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment
from xdet.datasets.exchange.entries import checked_points, checked_size, image_size_of, parse_number, unique_names
from xdet.datasets.exchange.files import Content, unique_file
from xdet.datasets.exchange.polygons import join
from xdet.datasets.exchange.source import SPLITS, Source, list_files, list_images, trailing_paths
from xdet.io.errors import cause
from xdet.io.reading import read_list, read_text, shorten
from xdet.io.schema import checked, shown

_NO_LABELS = ('classes.txt', 'labels.txt', 'obj.names')


@dataclass(frozen=True)
class _Part:
    """A split: its folder of images, and which of them; None are all."""

    split: str
    folder: Path
    names: tuple[str, ...] | None = None


def read(source: Source) -> AnnotatedSet:
    """Read a folder with ``data.yaml``, or that file; or images with labels beside them, and ``classes.txt``.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    root = source.path if source.path.is_dir() else source.path.parent
    file = source.path if source.path.is_file() else yaml_of(root) or root / 'data.yaml'
    about = _read_yaml(file) if file.is_file() else {}
    names = _names(about.get('names'), about.get('nc'), source, file, root)
    images: list[AnnotatedImage] = []
    poses = about.get('kpt_shape') is not None
    seen: set[Path] = set()
    parts = list(_parts(about, root, file, source))
    for part in parts:
        base = source.images or part.folder
        for name in list_images(base) if part.names is None else part.names:
            with source.problems.entry():
                path = base / name
                size = image_size_of(path)
                labels = _labels_of(part.folder / name, root)
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
                file_name = name.removeprefix('images/').removeprefix(f'{part.split}/')
                images.append(AnnotatedImage(file_name, size, tuple(segments), part.split, str(path)))
    if not images:
        raise FileNotFoundError(f'{shorten(str(root))}: has no images where {file.name} says they are, or in images/')
    if not any(labels.is_file() for labels in seen):
        raise FileNotFoundError(f'{shorten(str(root))}: has no labels, such as {shorten(str(min(seen)))}')
    whole = {_labels_of(part.folder / 'a', root).parent for part in parts if part.names is None}
    for labels in sorted(whole):
        for name in list_files(labels, ('.txt',)) if labels.is_dir() else ():
            if labels / name not in seen and name not in _NO_LABELS:
                source.problems.leave_out('are labels whose image is not there', str(labels / name))
    if poses:
        source.problems.leave_out('have keypoints, of which only the boxes are read', str(file))
    return AnnotatedSet(names, tuple(images))


def yaml_of(root: Path) -> Path | None:
    """The file that describes a folder: ``data.yaml``, or the one YAML in it that has names."""
    if (root / 'data.yaml').is_file():
        return root / 'data.yaml'
    found = [path for path in sorted(root.iterdir()) if path.suffix.lower() in ('.yaml', '.yml') and path.is_file()]
    found = [path for path in found if re.search(r'^names\s*:', read_text(path, max_bytes=1 << 20), re.MULTILINE)]
    return found[0] if len(found) == 1 else None


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


def _parts(about: Mapping[str, Any], root: Path, file: Path, source: Source) -> Iterator[_Part]:
    """Splits, with their images. Of the paths of another machine the end counts that is below the folder of the file;
    splits that are not there, such as a test split that nobody exported, are left out."""
    told = [(word, about[word]) for word in SPLITS if about.get(word)]
    base = root
    if isinstance(about.get('path'), str) and not Path(about['path']).is_absolute():
        inside = root / about['path']
        base = inside if '..' not in Path(about['path']).parts and inside.is_dir() else root
    seen: set[Path] = set()
    absent: list[str] = []
    for word, given in told:
        for one in given if isinstance(given, list) else [given]:
            where = f'{file}: {word}'
            text = checked(one, str, where)
            place = next((path for path in (base / end for end in trailing_paths(text, where)) if path.exists()), None)
            if place is None or not (place.is_dir() or place.suffix == '.txt'):
                what = 'neither a folder nor a list of images (.txt)'
                absent.append(f'{word} is {shown(one)}, which is {what} below {shorten(str(base))}')
            elif place not in seen:
                seen.add(place)
                yield _listed(SPLITS[word], place, base) if place.is_file() else _Part(SPLITS[word], place)
    if absent and not seen:
        raise FileNotFoundError(f'{file}: {absent[0]}')
    for line in absent:
        source.problems.leave_out('are splits that are not there', f'{file}: {line}')
    if not told:
        images = root / 'images' if (root / 'images').is_dir() else root
        parts = [word for word in SPLITS if (images / word).is_dir()]
        yield from (_Part(SPLITS[word], images / word) for word in parts)
        if not parts:
            yield _Part('', images)


def _listed(split: str, listing: Path, base: Path) -> _Part:
    """The images of a text file with a path in every line."""
    names = []
    for line in filter(str.strip, read_text(listing).splitlines()):
        ends = list(trailing_paths(line.strip(), str(listing)))
        names.append(next((end for end in ends if (base / end).is_file()), ends[-1]))
    return _Part(split, base, tuple(names))


def _labels_of(image: Path, root: Path) -> Path:
    """``labels`` in place of the last ``images`` in the path; beside the image if there is none."""
    parts = list(image.parts)
    for place in reversed(range(len(root.parts) if image.is_relative_to(root) else 0, len(parts) - 1)):
        if parts[place] == 'images':
            parts[place] = 'labels'
            break
    return Path(*parts).with_suffix('.txt')


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
