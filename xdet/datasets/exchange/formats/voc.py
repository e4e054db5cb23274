"""Pascal VOC's layout: boxes as XML, classes and objects as palette images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment
from xdet.datasets.exchange.entries import (
    NO_CLASSES,
    checked_box,
    checked_name,
    checked_points,
    checked_size,
    image_size_of,
    listed_names,
    parse_number,
    read_xml,
)
from xdet.datasets.exchange.files import Content, unique_file
from xdet.datasets.exchange.maps import png, without_overlap
from xdet.datasets.exchange.source import Source, first_file, list_files, names_of_stem, split_of_folders
from xdet.datasets.files.segment_maps import read_pixels
from xdet.io.reading import read_names, read_text
from xdet.io.schema import shown
from xdet.structures.masks.codes import encode_mask

CLASSES = (
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog'),
    *('horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor'),
)
"""Classes of VOC, whose label images begin with 1; used where no ``labels.txt`` says others."""

_VOID = 255
_NOTHING = (*NO_CLASSES, 'background')
_FLAGS = ('difficult', 'truncated', 'occluded')


def read(source: Source) -> AnnotatedSet:
    """Read a folder with ``Annotations``, ``SegmentationClass``, ``SegmentationObject`` or some of them; or XML files
    that lie otherwise, such as beside their images (labelImg, Roboflow).

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    root = source.path
    if root.is_dir() and not any((root / name).is_dir() for name in ('Annotations', 'SegmentationObject')):
        nested = sorted(path.parent for path in root.glob('*/*/Annotations')) or sorted(
            path.parent for path in root.glob('*/Annotations')
        )
        root = nested[0] if nested else root
    folders = {name: root / name for name in ('Annotations', 'SegmentationObject', 'SegmentationClass')}
    if not any(folder.is_dir() for folder in folders.values()):
        return _read_loose(source)
    files = [
        {Path(file).with_suffix('').as_posix(): folder / file for file in list_files(folder, (suffix,))}
        for folder, suffix in zip(folders.values(), ('.xml', '.png', '.png'), strict=True)
    ]
    colours = _label_map(root / 'labelmap.txt')
    told = [name for name in colours if name not in _NOTHING]
    names = list(source.names or listed_names(root / 'labels.txt') or told)
    table = {colour: 0 if name in _NOTHING else told.index(name) + 1 for name, colour in colours.items()}
    splits = _splits(root)
    images = []
    for stem in sorted({stem for part in files for stem in part}):
        with source.problems.entry():
            own = tuple(part.get(stem) for part in files)
            image = _read_image(source, root, stem, own, names or list(CLASSES), splits.get(stem, ''), table)
            if not image.segments and own[2] is not None and (_pixels(own[2], table) == _VOID).any():
                source.problems.leave_out('have no class but void (255) in their label image', stem)
            names += [one for one in dict.fromkeys(s.name for s in image.segments) if one not in names and names]
            images.append(image)
    known = names or list(dict.fromkeys(segment.name for image in images for segment in image.segments))
    return AnnotatedSet(tuple(known), tuple(images))


def _read_loose(source: Source) -> AnnotatedSet:
    """XML files alone; folders called train, valid and so on are splits."""
    images: list[AnnotatedImage] = []
    for path in source.files('.xml'):
        with source.problems.entry():
            whole = source.path if source.path.is_dir() else path.parent
            split, inner = split_of_folders(path.parent.relative_to(whole))
            image = _read_image(source, path.parent, path.stem, (path, None, None), (), split)
            beside = not image.path or Path(image.path).is_relative_to(path.parent)
            images.append(replace(image, file=(Path(inner) / image.file).as_posix()) if beside else image)
    names = source.names or dict.fromkeys(segment.name for image in images for segment in image.segments)
    return AnnotatedSet(tuple(names), tuple(images))


def _label_map(path: Path) -> dict[str, int]:
    """Names and colours of CVAT's ``labelmap.txt``, whose label images are in colours; none if there is no such file.

    Raises:
        OSError, ValueError: It is damaged.
    """
    colours: dict[str, int] = {}
    for line in read_text(path).splitlines() if path.is_file() else ():
        if line.startswith('#') or not line.strip():
            continue
        name, *rest = line.split(':')
        values = [parse_number(value, f'{path}: {shown(line)}', int) for value in (rest or [''])[0].split(',')]
        if len(values) != 3 or not 0 <= min(values) <= max(values) <= 255:
            raise ValueError(f'{path}: {shown(line)} is no name:red,green,blue with colours from 0 to 255')
        colours[checked_name(name, str(path))] = _code(np.array(values))
    return colours


def _code(colours: NDArray[Any]) -> Any:
    """Colours ``[..., 3]`` as one number each."""
    return colours[..., :3].astype(np.int64) @ [65536, 256, 1]


def _splits(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind in ('Main', 'Segmentation'):
        for split in ('train', 'val', 'test'):
            path = root / 'ImageSets' / kind / f'{split}.txt'
            if path.is_file():
                found.update({line.split()[0]: split for line in read_names(path)})
    return found


def _read_image(
    source: Source,
    root: Path,
    stem: str,
    files: Sequence[Path | None],
    names: Sequence[str],
    split: str,
    table: Mapping[int, int] | None = None,
) -> AnnotatedImage:
    about, shapes, classes = files
    objects: list[dict[str, Any]] = []
    size: tuple[int, int] | None = None
    given = ''
    if about is not None:
        tree = read_xml(about)
        if tree.tag != 'annotation':
            raise ValueError(f'{about}: not a file of VOC (its root is {shown(tree.tag)}, not annotation)')
        given = tree.findtext('filename') or ''
        sides = [tree.findtext(f'size/{side}') for side in ('height', 'width')]
        if all(sides):
            height, width = (parse_number(side, f'{about}: size', int) for side in sides)
            size = checked_size((height, width), str(about)) if (height, width) != (0, 0) else None
        objects = [_read_object(one, about, place) for place, one in enumerate(tree.iterfind('object'))]
    file, path = _find_image(source, root, stem, given, about or root / 'SegmentationObject' / stem)
    segments: list[Segment] = []
    if drawn := shapes or classes:
        segments = _read_maps(shapes, classes, objects, names, table or {})
        size = segments[0].size if segments else (size or _shape(drawn))
    if size is None:
        if not path:
            raise FileNotFoundError(f'{about}: says no size, and its image is not there (--images DIR)')
        size = image_size_of(path)
    if not segments:
        for place, one in enumerate(objects):
            with source.problems.entry():
                where = f'{about}: object {place} (counted from 0)'
                box = checked_box(one['box'], size, f'{where}: bndbox')
                points = checked_points(one['outline'], size, f'{where}: polygon')
                polygons = (Polygon(np.array(points, float)),) if len(points) > 2 else ()
                segments.append(Segment(one['name'], size, polygons, box=box, attributes=one['attributes']))
    return AnnotatedImage(file, size, tuple(segments), split, path)


def _shape(path: Path) -> tuple[int, int]:
    height, width = read_pixels(str(path)).shape[:2]
    return height, width


def _find_image(source: Source, root: Path, stem: str, given: str, about: Path) -> tuple[str, str]:
    """The file of an image: as the XML says it, or the one of that stem."""
    own = [root / 'JPEGImages', root] if source.images is None else []
    folders = [*own, *source.image_folders(about)]
    name = given if Path(given).suffix else ''
    inner = (PurePosixPath(stem).parent / name).as_posix() if name and not set(name) & set('/\\:') else ''
    for file in (inner, *names_of_stem(stem)):
        if file and (place := first_file(folder / file for folder in folders)):
            return file, place
    return source.image(name or f'{stem}.jpg', folders, str(about))


def _read_object(entry: ElementTree.Element, path: Path, place: int) -> dict[str, Any]:
    where = f'{path}: object {place} (counted from 0)'
    corners = {
        key: parse_number(entry.findtext(f'bndbox/{key}'), f'{where}: {key}')
        for key in ('xmin', 'ymin', 'xmax', 'ymax')
    }
    # Pixels of VOC are counted from 1, and the last one belongs to the box.
    box = [corners['xmin'] - 1, corners['ymin'] - 1, corners['xmax'], corners['ymax']]
    attributes: dict[str, Any] = {key: True for key in _FLAGS if (entry.findtext(key) or '0').strip() == '1'}
    pose = (entry.findtext('pose') or '').strip()
    if pose and pose != 'Unspecified':
        attributes['pose'] = pose
    # Some exporters add the outline: x1, y1, x2, y2, ... in pixels.
    outline: list[float] = []
    for number in range(1, len(entry.find('polygon') or ()) // 2 + 1):
        outline += [parse_number(entry.findtext(f'polygon/{k}{number}'), f'{where}: polygon {k}{number}') for k in 'xy']
    name = checked_name(entry.findtext('name') or '', where)
    return dict(name=name, box=box, outline=outline, attributes=attributes)


def _read_maps(
    shapes: Path | None, classes: Path | None, objects: Sequence[dict], names: Sequence[str], table: Mapping[int, int]
) -> list[Segment]:
    """Segments of the label images; object i of the XML is i in the image of objects."""
    labels = _pixels(classes, table) if classes else None
    numbers = _pixels(shapes, _PALETTE) if shapes else labels
    assert numbers is not None
    if labels is not None and labels.shape != numbers.shape:
        raise ValueError(f'{classes}: has {labels.shape[::-1]} pixels, {shapes} has {numbers.shape[::-1]} (w, h)')
    size = (numbers.shape[0], numbers.shape[1])
    segments = []
    for number in (int(value) for value in np.unique(numbers) if value not in (0, _VOID)):
        mask = numbers == number
        about = objects[number - 1] if shapes and number <= len(objects) else {}
        if labels is not None:
            found = np.bincount(labels[mask & (labels != 0) & (labels != _VOID)].reshape(-1), minlength=1)
            label = int(found.argmax()) if found.any() else 0
            if not 1 <= label <= len(names):
                raise ValueError(
                    f'{classes}: object {number} is of class {label}; accepted are 1 to {len(names)}, the lines of '
                    'labels.txt'
                )
            name = names[label - 1]
        elif about:
            name = about['name']
        else:
            raise ValueError(f'{shapes}: nothing says the class of object {number}')
        segments.append(Segment(name, size, mask=encode_mask(mask), attributes=about.get('attributes', {})))
    return segments


def _pixels(path: Path, table: Mapping[int, int]) -> NDArray[Any]:
    """Values of a label image; those of one in colours by a table, or by VOC's own palette."""
    pixels = read_pixels(str(path))
    if pixels.ndim == 3 and pixels.dtype == np.uint8 and pixels.shape[2] in (3, 4):
        found, inverse = np.unique(_code(pixels), return_inverse=True)
        values_of = {next(reversed(_PALETTE)): _VOID, **table} if table else _PALETTE
        unknown = [code for code in found.tolist() if code not in values_of]
        if unknown:
            colour = ', '.join(str(unknown[0] >> bits & 255) for bits in (16, 8, 0))
            raise ValueError(f'{path}: has the colour {colour}, which neither labelmap.txt nor the palette of VOC has')
        values = np.array([values_of[code] for code in found.tolist()], np.uint8)
        return values[inverse].reshape(pixels.shape[:2])
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise ValueError(f'{path}: is no palette, grey or colour image of 8 bits')
    return pixels


def files(data: AnnotatedSet) -> Iterator[tuple[str, Content]]:
    """Annotations, label images, lists of splits, ``labels.txt`` and the images.

    Raises:
        ValueError: There are more classes, or objects in an image, than an image of 8 bits has values for, or one has
            the name of no class.
    """
    if len(data.names) >= _VOID:
        raise ValueError(
            f'VOC has label images of 8 bits, which tell {_VOID - 1} classes apart; here are {len(data.names)}'
        )
    if kept := [name for name in data.names if name in NO_CLASSES]:
        raise ValueError(f"VOC's labels.txt keeps the name {kept[0]} for pixels of no class; rename the class")
    palette = voc_palette()
    taken: set[str] = set()
    lists: dict[str, list[str]] = {}
    for image in data.images:
        stem = unique_file(Path(image.file).with_suffix('.png').as_posix(), taken)[: -len('.png')]
        file = stem + (Path(image.file).suffix or '.jpg')
        if len(image.segments) >= _VOID:
            raise ValueError(
                f'{image.file}: has {len(image.segments)} segments; VOC tells at most {_VOID - 1} of an image apart'
            )
        yield f'Annotations/{stem}.xml', _annotation(image, file)
        if any(segment.rle is not None for segment in image.segments) or not image.segments:
            numbers = without_overlap(image).astype(np.uint8)
            of = np.array([0, *(data.names.index(segment.name) + 1 for segment in image.segments)], np.uint8)
            yield f'SegmentationObject/{stem}.png', png(numbers, palette)
            yield f'SegmentationClass/{stem}.png', png(of[numbers], palette)
        yield f'JPEGImages/{file}', Path(image.path)
        lists.setdefault(image.split or 'trainval', []).append(stem)
    for split, stems in lists.items():
        for kind in ('Main', 'Segmentation'):
            yield f'ImageSets/{kind}/{split}.txt', ''.join(f'{stem}\n' for stem in stems).encode()
    yield 'labels.txt', ''.join(f'{name}\n' for name in data.names).encode()


def _annotation(image: AnnotatedImage, file: str) -> bytes:
    root = ElementTree.Element('annotation')
    ElementTree.SubElement(root, 'folder').text = 'JPEGImages'
    ElementTree.SubElement(root, 'filename').text = file
    size = ElementTree.SubElement(root, 'size')
    for key, value in zip(('width', 'height', 'depth'), (image.size[1], image.size[0], 3), strict=True):
        ElementTree.SubElement(size, key).text = str(value)
    ElementTree.SubElement(root, 'segmented').text = str(int(any(s.rle is not None for s in image.segments)))
    for segment in image.segments:
        entry = ElementTree.SubElement(root, 'object')
        ElementTree.SubElement(entry, 'name').text = segment.name
        ElementTree.SubElement(entry, 'pose').text = str(segment.attributes.get('pose', 'Unspecified'))
        for key in _FLAGS:
            ElementTree.SubElement(entry, key).text = str(int(segment.attributes.get(key) is True))
        box = ElementTree.SubElement(entry, 'bndbox')
        x1, y1, x2, y2 = segment.bounds
        for key, corner in zip(('xmin', 'ymin', 'xmax', 'ymax'), (x1 + 1, y1 + 1, x2, y2), strict=True):
            ElementTree.SubElement(box, key).text = f'{corner:.6g}'
    ElementTree.indent(root)
    return ElementTree.tostring(root, 'utf-8')


def voc_palette() -> bytes:
    """The colours of VOC's label images."""
    colours = np.zeros((256, 3), np.uint8)
    for value in range(256):
        for bit in range(8):
            for channel in range(3):
                colours[value, channel] |= (value >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.tobytes()


_PALETTE = {int(code): value for value, code in enumerate(_code(np.frombuffer(voc_palette(), np.uint8).reshape(-1, 3)))}
