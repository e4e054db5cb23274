"""What is suspicious in annotated images."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_util

from xdet.datasets.files.image_io import ImageReadError
from xdet.io.errors import cause
from xdet.io.reading import shorten

from .annotated import AnnotatedImage, AnnotatedSet, Segment
from .entries import image_data, image_size_of, size_of_bytes
from .polygons import iou
from .problems import Problems
from .source import Source, list_images

TINY = 4
"""Pixels of a mask below which it is called tiny."""
HUGE = 0.95
"""Share of its image above which the mask of an object is called huge."""
SAME = 0.9
"""Intersection over union above which two segments of one class are called the same."""
ALIKE = 0.85
"""Similarity of two names above which they are called nearly equal."""


@dataclass
class Finding:
    """One kind of problem.

    Attributes:
        what (str): In words.
        error (bool): Whether data with it should not be used; otherwise it is worth a look.
        names (list[str]): Images, segments or classes with it.
    """

    what: str
    error: bool
    names: list[str] = field(default_factory=list)


@dataclass
class Report:
    """Counts and findings.

    Attributes:
        counts (dict): Numbers of images, segments, splits, classes and sizes.
        findings (dict[str, Finding]): By a short key.
    """

    counts: dict[str, Any]
    findings: dict[str, Finding]

    @property
    def errors(self) -> int:
        """How many entries have an error."""
        return sum(len(finding.names) for finding in self.findings.values() if finding.error)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with all names."""
        kinds = {True: 'errors', False: 'warnings'}
        told: dict[str, Any] = dict(**self.counts, errors={}, warnings={})
        for key, finding in self.findings.items():
            told[kinds[finding.error]][key] = dict(what=finding.what, count=len(finding.names), entries=finding.names)
        return told


def check_set(data: AnnotatedSet, problems: Problems, source: Source | None = None) -> Report:
    """Look at all images and segments.

    Args:
        data (AnnotatedSet): What was read.
        problems (Problems): What reading it found.
        source (Source, optional): Where it came from; images that are not listed are looked for in its folder.
    """
    findings: dict[str, Finding] = {}

    def note(key: str, what: str, name: str, error: bool = False) -> None:
        findings.setdefault(key, Finding(what, error)).names.append(name)

    for line in problems.errors:
        note('unreadable_entries', 'entries that cannot be read', line, True)
    for reason, names in problems.left_out.items():
        for name in names:
            note('left_out', 'entries that mean nothing', f'{name}: {reason}')
    contents: dict[str, list[AnnotatedImage]] = defaultdict(list)
    places = Counter((image.split, image.file) for image in data.images)
    for (_, file), count in places.items():
        if count > 1:
            note('listed_twice', 'images that are listed more than once', file, True)
    for image in data.images:
        for problem in _look_at_file(image, contents):
            note(*problem, error=True)
        if not image.segments:
            note('unlabelled', 'images without any segment', image.file)
        for place, segment in enumerate(image.segments):
            for key, text in _look_at_segment(segment):
                note(key, text, f'{image.file}: {segment.name!r}, segment {place} (counted from 0)')
        for first, second in _same(image):
            told = f'{image.file}: {image.segments[first].name!r}, segments {first} and {second} (counted from 0)'
            note('same_twice', 'segments that are nearly the same as another of their class', told)
    for images in contents.values():
        told = ' = '.join(f'{image.split}: {image.file}' if image.split else image.file for image in images)
        if len({image.split for image in images}) > 1:
            note('same_image_in_splits', 'images of equal content in different splits', told, True)
        elif len(images) > 1:
            note('same_image', 'images of equal content', told)
    used = Counter(segment.name for image in data.images for segment in image.segments)
    for problem in _look_at_classes(data, used):
        note(*problem)
    for file in _unlisted(data, source):
        note('unlisted_images', 'image files that are not listed', file)
    return Report(_counts(data, used), findings)


def _look_at_file(image: AnnotatedImage, contents: dict[str, list[AnnotatedImage]]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the file of an image; its content is hashed."""
    if not image.path:
        yield 'missing_images', 'images that are not there', image.file
        return
    try:
        content = image_data(image.path)
        size = size_of_bytes(content, image.file)
    except (ImageReadError, OSError, ValueError) as error:
        yield 'unreadable_images', 'image files that cannot be read', shorten(str(error))
        return
    contents[hashlib.sha256(content).hexdigest()].append(image)
    if size != image.size:
        yield 'wrong_sizes', 'images of another size than annotated', _wrong_size(image, size)


def wrong_sizes(data: AnnotatedSet) -> list[str]:
    """Images whose file has another size than annotated, each with both, and those that are no images."""
    found = []
    for image in data.images:
        try:
            if image.path and (size := image_size_of(image.path)) != image.size:
                found.append(_wrong_size(image, size))
        except (OSError, ValueError) as error:
            found.append(cause(error))
    return found


def _wrong_size(image: AnnotatedImage, size: tuple[int, int]) -> str:
    turned = size == image.size[::-1] and size[0] != size[1]
    hint = ' (annotated without the turn in its EXIF data, or sides mixed up)' if turned else ''
    return f'{image.file}: {image.size[1]}x{image.size[0]} annotated, {size[1]}x{size[0]} in the file{hint}'


def _look_at_segment(segment: Segment) -> Iterator[tuple[str, str]]:
    height, width = segment.size
    if segment.box is not None:
        x1, y1, x2, y2 = segment.box
        if min(x1, y1) < -1 or x2 > width + 1 or y2 > height + 1:  # tools round by a pixel
            yield 'boxes_outside', 'boxes that leave their image'
        if x2 <= x1 or y2 <= y1:
            yield 'empty_boxes', 'boxes without width or height'
        elif segment.rle is not None and segment.area:
            left, top, wide, high = mask_util.toBbox(segment.rle)
            common = max(0, min(x2, left + wide) - max(x1, left)) * max(0, min(y2, top + high) - max(y1, top))
            if common < 0.5 * ((x2 - x1) * (y2 - y1) + wide * high - common):
                yield 'box_is_not_of_mask', 'boxes that do not fit their mask'
    for polygon in segment.polygons:
        low, high = polygon.outer.min(axis=0), polygon.outer.max(axis=0)
        if min(low) < -1 or high[0] > width + 1 or high[1] > height + 1:
            yield 'outlines_outside', 'outlines that leave their image'
            break
    if segment.rle is None:
        return
    if not segment.area:
        yield 'empty_masks', 'masks without a pixel'
    elif segment.area < TINY:
        yield 'tiny_masks', f'masks of less than {TINY} pixels'
    elif segment.area > HUGE * height * width and not segment.iscrowd:
        yield 'huge_masks', f'masks of more than {100 * HUGE:g} % of their image'


def _same(image: AnnotatedImage) -> Iterator[tuple[int, int]]:
    """Pairs of segments of one class that cover nearly the same."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for place, segment in enumerate(image.segments):
        if segment.area:
            by_name[segment.name].append(place)
    for places in by_name.values():
        # Only areas that are near to each other can be: sorted, the partners of one are the next ones.
        ordered = sorted(places, key=lambda place: image.segments[place].area)
        for start, place in enumerate(ordered):
            for other in ordered[start + 1 :]:
                if image.segments[place].area < SAME * image.segments[other].area:
                    break
                if iou(image.segments[place].filled, image.segments[other].filled) > SAME:
                    yield min(place, other), max(place, other)


def _look_at_classes(data: AnnotatedSet, used: Counter[str]) -> Iterator[tuple[str, str, str]]:
    for name in data.names:
        if not used[name]:
            yield 'unused_classes', 'classes without a segment', name
    for pair in _alike(data.names):
        yield 'alike_classes', 'classes with nearly equal names', ' and '.join(map(repr, pair))
    for split in data.splits if len(data.splits) > 1 else ():
        there = {segment.name for image in data.part(split).images for segment in image.segments}
        for name in used:
            if name not in there:
                yield 'absent_in_split', 'classes without a segment in a split', f'{split}: {name}'


def _alike(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Pairs of names that may be one class with two spellings; names of hundreds of classes are compared exactly."""
    plain = {name: ''.join(letter for letter in name.casefold() if letter.isalnum()) for name in names}
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            first, second = sorted((plain[name], plain[other]), key=len)
            if first == second or f'{first}s' == second or f'{first}es' == second:
                yield name, other
            elif len(names) <= 300 and len(first) > 4 and len(second) - len(first) < 3:
                if difflib.SequenceMatcher(None, first, second).ratio() > ALIKE:
                    yield name, other


def _unlisted(data: AnnotatedSet, source: Source | None) -> Iterator[str]:
    """Images beside the listed ones."""
    if source is None:
        return
    known = {str(Path(image.path).resolve()) for image in data.images if image.path}
    roots = {
        image.path.removesuffix(image.file) for image in data.images if image.path and image.path.endswith(image.file)
    }
    for root in sorted(root for root in roots if root):
        for file in list_images(Path(root)):
            if str((Path(root) / file).resolve()) not in known:
                yield str(Path(root) / file)


def _counts(data: AnnotatedSet, used: Counter[str]) -> dict[str, Any]:
    sizes = Counter(f'{image.size[1]}x{image.size[0]}' for image in data.images)
    showing = Counter(name for image in data.images for name in {segment.name for segment in image.segments})
    return dict(
        images=len(data.images),
        segments=sum(used.values()),
        masks=sum(segment.rle is not None for image in data.images for segment in image.segments),
        crowds=sum(segment.iscrowd for image in data.images for segment in image.segments),
        splits={split or '(none)': len(data.part(split).images) for split in data.splits},
        classes={name: dict(segments=used[name], images=showing[name]) for name in data.names},
        sizes=dict(sizes.most_common(20)),
        different_sizes=len(sizes),
    )
