"""All formats of annotations by name: reading, writing, recognising."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from xdet.io.reading import expand, listed, read_json, read_text, shorten
from xdet.io.warnings import warn_once
from xdet.io.writing import replacing, replacing_path

from .annotated import AnnotatedImage, AnnotatedSet
from .entries import image_data, read_xml
from .files import Content, visible
from .formats import coco, cvat, geojson, instance_pngs, label_studio, labelme, supervisely, via, voc, yolo
from .source import Source, inner_path, list_files, list_images

Reader = Callable[[Source], AnnotatedSet]
Writer = Callable[[AnnotatedSet], Iterator[tuple[str, Content]]]


@dataclass(frozen=True)
class Kind:
    """A format.

    Attributes:
        help (str): What it is, in a few words.
        read (Reader): Reads it.
        files (Writer, optional): Yields its files, by paths below the folder of the result; None if it is only read.
        exact (bool): Whether masks come back pixel by pixel; those of polygons are made simpler.
        lost (str): What of an :class:`~.annotated.AnnotatedSet` it cannot hold.
        beside (bool): Whether programs look for the images beside the annotations.
        named (bool): Whether it always has the names of its classes.
    """

    help: str
    read: Reader
    files: Writer | None
    exact: bool
    lost: str
    beside: bool = False
    named: bool = False


_NAMELESS = 'scores stay as fields that other programs ignore'
KINDS = {
    'coco': Kind(
        'COCO instances JSON; polygons, or RLE where there are holes, masks or crowds',
        coco.read_instances,
        coco.instance_files,
        True,
        'ids and supercategories, which are made anew',
        named=True,
    ),
    'coco-panoptic': Kind(
        'COCO panoptic JSON and PNGs, in `panoptic_val/` or `panoptic/val/`',
        coco.read_panoptic,
        coco.panoptic_files,
        True,
        'overlaps (the smaller segment stays whole), boxes without a mask, scores, attributes',
        named=True,
    ),
    'coco-results': Kind(
        'COCO results, a list of masks with scores, and the images they are of',
        coco.read_results,
        coco.result_files,
        True,
        'splits, crowds, attributes; a score of 1 where there was none',
        named=True,
    ),
    'yolo-seg': Kind(
        'data.yaml and a text file per image, normalised polygons',
        yolo.read,
        yolo.files,
        False,
        'crowds, scores, attributes; parts and holes are joined to one ring by lines without width',
        beside=True,
    ),
    'labelme': Kind(
        'LabelMe JSON per image, polygons',
        labelme.read,
        labelme.files,
        False,
        f'holes are joined to their ring, parts are a group; {_NAMELESS}',
        beside=True,
    ),
    'labelme-masks': Kind(
        'LabelMe JSON per image, masks (LabelMe 5.3 and later)',
        labelme.read,
        partial(labelme.files, masks=True),
        True,
        f'nothing; {_NAMELESS}',
        beside=True,
    ),
    'voc': Kind(
        'Pascal VOC: boxes as XML, objects and classes as palette PNGs',
        voc.read,
        voc.files,
        True,
        'overlaps (the smaller segment stays whole), crowds, scores, attributes but difficult, truncated, occluded, '
        'pose; at most 254 classes and segments per image; boxes beside masks',
        beside=True,
    ),
    'cvat': Kind(
        'CVAT for images 1.1, masks as RLE',
        cvat.read,
        cvat.files,
        True,
        'types of attributes, which become texts',
    ),
    'cvat-polygons': Kind(
        'CVAT for images 1.1, polygons',
        cvat.read,
        partial(cvat.files, polygons=True),
        False,
        'types of attributes; holes are joined to their ring, parts are a group',
    ),
    'label-studio': Kind(
        'Label Studio JSON, brushes as RLE',
        label_studio.read,
        label_studio.files,
        True,
        'nothing; segments with scores become predictions, and all of their image with them',
    ),
    'label-studio-polygons': Kind(
        'Label Studio JSON, polygons',
        label_studio.read,
        partial(label_studio.files, polygons=True),
        False,
        'parts and holes are joined to one ring by lines without width',
    ),
    'png': Kind(
        'a black and white PNG for every segment, and segments.jsonl',
        instance_pngs.read,
        instance_pngs.files,
        True,
        'nothing',
    ),
    'geojson': Kind(
        'polygons with holes, one GeoJSON per image, in pixels',
        geojson.read,
        geojson.files,
        False,
        'types of segments: boxes become polygons',
    ),
    'via': Kind('VGG Image Annotator (VIA 1 and 2), JSON, CSV or project', via.read, None, False, ''),
    'supervisely': Kind(
        'Supervisely project: `meta.json`, `img/` and `ann/`; polygons, bitmaps', supervisely.read, None, False, ''
    ),
}
"""All formats."""

WRITTEN = tuple(name for name, kind in KINDS.items() if kind.files is not None)
"""Those that can be written."""


def writer_of(name: str) -> Writer:
    """How the format of that name is written.

    Raises:
        ValueError: There is none, or it is only read.
    """
    writer = kind_named(name).files
    if writer is None:
        raise ValueError(f"format '{name}' can only be read; accepted are {', '.join(WRITTEN)}")
    return writer


def kind_named(name: str) -> Kind:
    """The format of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in KINDS:
        raise ValueError(f"format '{shorten(name, 60)}' is unknown; accepted are {', '.join(KINDS)}")
    return KINDS[name]


def read_annotations(source: Source | str | Path, kind: str = '', images: str | Path | None = None) -> AnnotatedSet:
    """Annotations of a file or folder.

    Args:
        source (Source | str | Path): Where they are.
        kind (str): Format, see docs/data_formats.md; empty recognises it.
        images (str | Path, optional): Folder of the images, if it is not where the format has it.

    Raises:
        FileNotFoundError: Something is missing.
        ValueError: Something is damaged, or not of that format.
    """
    if not isinstance(source, Source):
        source = Source(expand(source), None if images is None else expand(images))
    if not source.path.exists():
        raise FileNotFoundError(f'{shorten(str(source.path))}: does not exist')
    kind = kind or detect_kind(source.path)
    known = kind_named(kind)
    if source.names and known.named:
        raise ValueError(f'--names is for files that may have numbers alone; {kind} has names of its own')
    if source.of is not None and kind != 'coco-results':
        raise ValueError(f'--of says which file coco-results are of; {shorten(str(source.path))} is {kind}')
    data = known.read(source)
    if not data.images and not source.problems.errors:
        raise ValueError(f'{shorten(str(source.path))}: lists no images')
    return data


def detect_kind(path: Path) -> str:
    """The format of a file or folder, by its names and the first fields.

    Raises:
        ValueError: It is none that is known.
    """
    if path.is_dir():
        return _kind_of_folder(path) or _unknown(path)
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix == '.xml':
        return 'cvat' if read_xml(path).tag == 'annotations' else 'voc'
    if suffix == '.csv' and read_text(path, max_bytes=1 << 30).lstrip('#').startswith(via.CSV_START):
        return 'via'
    return (_kind_of_json(path) if suffix == '.json' else '') or _unknown(path)


_SUFFIXES = {'.yaml': 'yolo-seg', '.yml': 'yolo-seg', '.geojson': 'geojson', '.jsonl': 'png'}


def _unknown(path: Path) -> NoReturn:
    raise ValueError(
        f'{shorten(str(path))}: is of no known format; say which by --from, accepted are {", ".join(KINDS)}'
    )


def _kind_of_folder(path: Path) -> str:
    if (path / instance_pngs.LIST).is_file():
        return 'png'
    if yolo.yaml_of(path) or ((path / 'labels').is_dir() and list_files(path / 'labels', ('.txt',))):
        return 'yolo-seg'
    if (path / 'Annotations').is_dir() or (path / 'SegmentationObject').is_dir():
        return 'voc'
    if supervisely.is_project(path):
        return 'supervisely'
    for suffix in ('.geojson', '.xml', '.json', '.csv'):
        for found in list_files(path, (suffix,)):
            if Path(found).name == 'label_config.xml' or (suffix == '.csv' and '/' in found):
                continue
            if suffix != '.json':
                return detect_kind(path / found)
            if kind := _kind_of_json(path / found, beside=True):
                return kind
    if (path / 'labels').is_dir() and list_images(path / 'labels'):
        what = 'holds label images, which are trained with as they are (docs/own_data.md)'
        raise ValueError(f'{shorten(str(path))}: {what}')
    return 'yolo-seg' if (path / 'classes.txt').is_file() else ''


def _kind_of_json(path: Path, beside: bool = False) -> str:
    """Format of a file; ``beside`` others, COCO's captions and the like are none, as they have no classes."""
    content = read_json(path)
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict) and 'data' in first:
        return 'label-studio'
    if isinstance(first, dict) and 'image_id' in first:
        return 'coco-results'
    if isinstance(first, dict) and isinstance(first.get('image'), str):
        raise ValueError(f'{shorten(str(path))}: is JSON-MIN of Label Studio, which lacks sizes; export JSON or COCO')
    if isinstance(content, dict) and 'shapes' in content:
        return 'labelme'
    if isinstance(content, dict) and content.get('type') == 'FeatureCollection':
        return 'geojson'
    if via.holds_regions(content):
        return 'via'
    if isinstance(content, dict) and 'images' in content and ('categories' in content or not beside):
        return 'coco-panoptic' if coco.is_panoptic(content) else 'coco'
    return ''


def write_annotations(data: AnnotatedSet, kind: str, out: str | Path, copy_images: bool = True) -> int:
    """Write annotations as a new folder, or as one file if ``out`` has the ending of one and the format has one.

    Nothing is there until all is written.

    Args:
        data (AnnotatedSet): What to write.
        kind (str): Format.
        out (str | Path): New or empty folder, or file, which is replaced.
        copy_images (bool): Put the images beside the annotations.

    Returns:
        int: Number of files.

    Raises:
        FileNotFoundError: An image to copy is not there.
        OSError: The folder is not empty, or cannot be written.
        ValueError: The format cannot hold the data.
    """
    out = expand(out)
    if not is_one_file(out):
        data = shown_images(data, kind, copy_images)
        for image in data.images if not copy_images else ():
            if image.path.lower().endswith('.json'):
                raise ValueError(f'image {image.file} lies in {shorten(image.path)} alone, so it has to be copied')
    made = writer_of(kind)(apart(data))
    if is_one_file(out):
        return _write_file(made, kind, out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"'{shorten(str(out))}' exists and is not empty; choose a new folder")
    count = 0
    with replacing_path(out) as unfinished:
        unfinished.mkdir()
        for file, content in made:
            place = unfinished / inner_path(file, kind)
            if isinstance(content, bytes):
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    place.write_bytes(content)
                except OSError as error:  # of a full disk, which does not name the file
                    raise OSError(error.errno, error.strerror, str(place)) from error
            elif copy_images:
                if content == Path():
                    raise FileNotFoundError(f'image {file} is not there; say where images are (--images DIR)')
                place.parent.mkdir(parents=True, exist_ok=True)
                if content.suffix.lower() == '.json':
                    place.write_bytes(image_data(content))
                else:
                    shutil.copyfile(content, place)
            else:
                continue
            count += 1
    return count


def is_one_file(out: Path) -> bool:
    """Whether the name is one of a file of annotations, not of a folder with images."""
    return out.suffix in ('.json', '.xml', '.geojson', '.txt')


def _write_file(made: Iterator[tuple[str, Content]], kind: str, out: Path) -> int:
    contents = [(file, content) for file, content in made if isinstance(content, bytes)]
    fitting = [content for file, content in contents if Path(file).suffix == out.suffix]
    if len(fitting) != 1:
        raise ValueError(
            f"'{out.name}' is one file, and {kind} makes {len(contents)} ({listed((f for f, _ in contents), 3)}); "
            'name a folder'
        )
    with replacing(out) as file:
        file.write(fitting[0])
    return 1


def shown_images(data: AnnotatedSet, kind: str, copied: bool) -> AnnotatedSet:
    """With an underscore before names that readers of folders pass over, such as ``.a.jpg``; a line says so.

    Raises:
        ValueError: Images that are not copied cannot be renamed, and the format finds images by listing folders.
    """
    hidden = [image.file for image in data.images if visible(image.file) != image.file]
    if not hidden or (not copied and not kind_named(kind).beside):
        return data
    if not copied:
        raise ValueError(f'image {shorten(hidden[0])} is hidden, so {kind} would be read without it; rename the image')
    first = f'{shorten(hidden[0])} becomes {shorten(visible(hidden[0]))}'
    warn_once(f'{len(hidden)} hidden images are renamed, as readers of folders pass them over: {first}')
    return replace(data, images=tuple(replace(image, file=visible(image.file)) for image in data.images))


def apart(data: AnnotatedSet) -> AnnotatedSet:
    """With the split before the path of images where two of different splits have one path."""
    counts = Counter(image.file.lower() for image in data.images)
    if max(counts.values(), default=0) < 2:
        return data
    images: list[AnnotatedImage] = []
    for image in data.images:
        shared = counts[image.file.lower()] > 1 and image.split
        images.append(replace(image, file=f'{image.split}/{image.file}') if shared else image)
    again = Counter(image.file.lower() for image in images)
    if max(again.values()) > 1:
        file = next(image.file for image in images if again[image.file.lower()] > 1)
        others = [image.file for image in images if image.file.lower() == file.lower() and image.file != file]
        if others:
            names = f'{shorten(file)} and {shorten(others[0])}'
            raise ValueError(f'images {names} would be one file on many systems; rename one of them')
        raise ValueError(f'image {shorten(file)} is annotated twice; merge or remove one (xdet data check lists them)')
    return replace(data, images=tuple(images))
