"""Divides images into parts and keeps together what is nearly the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from xdet.datasets.files.coco_json import load_coco_json
from xdet.io.reading import shorten
from xdet.io.schema import ID, require
from xdet.io.writing import write_files

from .annotated import AnnotatedSet

FOLDER = 'folder'
FIELD = 'field='
PARTS = ('train', 'val', 'test')


def group_of(file_name: str, group: str | None, fields: Mapping[str, Any] | None = None) -> str:
    """What images have in common that stay together.

    Args:
        file_name (str): Of the image.
        group (str, optional): ``'folder'``, ``'field=NAME'`` (a field of the entry of an image, such as ``video_id``),
            or a regular expression for the beginning of the name without folders, of which the first group counts if it
            has one. None: every image by itself.
        fields (Mapping[str, Any], optional): Of the entry of the image.

    Raises:
        ValueError: The expression does not match the name, or the image has no such field.
    """
    if group is None:
        return file_name
    if group == FOLDER:
        return str(PurePosixPath(file_name).parent)
    if group.startswith(FIELD):
        value = (fields or {}).get(group.removeprefix(FIELD))
        if value is None or isinstance(value, (dict, list)):
            known = ', '.join(sorted(fields or {})) or 'none'
            raise ValueError(
                f"--group-by '{shorten(group)}': '{shorten(file_name)}' has no such field; its fields are {known}"
            )
        return str(value)
    try:
        found = re.match(group, PurePosixPath(file_name).name)
    except re.error as error:
        raise ValueError(f"--group-by '{shorten(group)}' is no regular expression: {error}") from None
    if found is None or (found.re.groups and found[1] is None):
        raise ValueError(
            f"--group-by '{shorten(group)}' does not match the beginning of '{shorten(PurePosixPath(file_name).name)}'"
        )
    return found[1] if found.re.groups else found[0]


def choose_groups(sizes: Mapping[str, int], val: float, seed: int, option: str = '--val', left: int = 1) -> set[str]:
    """Groups to set apart, as near to the wanted number of images as whole groups allow.

    Args:
        sizes (Mapping[str, int]): Number of images of every group.
        val (float): Share of the images if below 1, else their number.
        seed (int): Which split.
        option (str): Where the number comes from, for errors.
        left (int): How many groups have to be left for other parts.

    Raises:
        ValueError: The number is out of range, or there are too few groups.
    """
    total = sum(sizes.values())
    if total < 2:
        raise ValueError(f'{option}: there is {total or "no"} image; a split needs two or more')
    wanted = val * total if val < 1 else val
    if not 0 < wanted < total or (val > 1 and val != int(val)):
        raise ValueError(f'{option} is {val:g}; accepted are shares between 0 and 1, and numbers from 1 to {total - 1}')
    if len(sizes) <= left:
        groups = ' and '.join(map(repr, sizes))
        raise ValueError(
            f'all {total} images are of {("one group", "two groups")[len(sizes) - 1]}, {groups}; a split needs '
            f'{("two", "three")[left - 1]}'
        )
    # Sorted by a hash of the group alone: a split does not depend on the order of the file.
    order = sorted(sizes, key=lambda name: hashlib.sha256(f'{seed} {name}'.encode()).hexdigest())
    chosen: set[str] = set()
    taken = 0
    for name in order:
        if len(chosen) < len(sizes) - left and abs(taken + sizes[name] - wanted) < abs(taken - wanted):
            chosen.add(name)
            taken += sizes[name]
    return chosen or {min(order, key=lambda name: sizes[name])}


def assign(groups: Sequence[str], val: float, test: float = 0.0, seed: int = 0) -> dict[str, str]:
    """The part of every group: ``'train'``, ``'val'`` or ``'test'``.

    Args:
        groups (Sequence[str]): Of every image.
        val (float): Share of the images if below 1, else their number.
        test (float): Likewise; 0 for none.
        seed (int): Another gives another split; the same always gives the same.

    Raises:
        ValueError: See :func:`choose_groups`.
    """
    sizes = Counter(groups)
    part = dict.fromkeys(sizes, 'train')
    if test:
        chosen = choose_groups(sizes, test, seed, '--test', left=2)
        part.update(dict.fromkeys(chosen, 'test'))
        sizes = Counter({name: count for name, count in sizes.items() if name not in chosen})
        if 0 < val < 1:  # a share of all images, not of those that are left
            val = min(val * len(groups) / sizes.total(), 1 - 1e-9)
    part.update(dict.fromkeys(choose_groups(sizes, val, seed), 'val'))
    return part


def split_set(
    data: AnnotatedSet, val: float, test: float = 0.0, group: str | None = None, seed: int = 0
) -> AnnotatedSet:
    """The same images, sorted by their splits ``train``, ``val`` and, if asked for, ``test``; see :func:`assign`.

    Raises:
        ValueError: The numbers or the group do not fit the data.
    """
    groups = [group_of(image.file, group, image.fields) for image in data.images]
    part = assign(groups, val, test, seed)
    images = [replace(image, split=part[key]) for image, key in zip(data.images, groups, strict=True)]
    return replace(data, images=tuple(sorted(images, key=lambda image: PARTS.index(image.split))))


def split_coco(
    path: Path, content: dict, val: float, group: str | None, seed: int, test: float = 0.0
) -> tuple[dict[str, dict], int]:
    """Parts of a COCO annotation file of any kind: instances, captions, referring expressions.

    Images are divided, and every annotation follows its image; nothing else of the file changes.

    Args:
        path (Path): Name of the file, for errors.
        content (dict): Its content.
        val (float): See :func:`assign`, and so are ``seed`` and ``test``.
        group (str, optional): See :func:`group_of`.

    Returns:
        tuple[dict, int]: Contents by part, and the number of annotations that belong to no listed image and are
        therefore in none.

    Raises:
        ValueError: The file or an option is unusable.
    """
    names: dict[int | str, str] = {}
    for position, image in enumerate(content['images']):
        where = f'{path}: images[{position}]'
        number = require(image, 'id', ID, where)
        if number in names:
            raise ValueError(f'{where}: has the id {number!r} of an image before it')
        names[number] = group_of(require(image, 'file_name', str, where), group, image)
    owners = [
        require(annotation, 'image_id', ID, f'{path}: annotations[{position}]')
        for position, annotation in enumerate(content['annotations'])
    ]
    if not names:
        raise ValueError(f'{path}: lists no images')
    part = assign(list(names.values()), val, test, seed)
    stray = sum(owner not in names for owner in owners)
    parts = {}
    for name in PARTS[: 3 if test else 2]:
        kept = {number for number, of in names.items() if part[of] == name}
        images = [image for image, number in zip(content['images'], names, strict=True) if number in kept]
        annotations = [entry for entry, owner in zip(content['annotations'], owners, strict=True) if owner in kept]
        parts[name] = {**content, 'images': images, 'annotations': annotations}
    return parts, stray


def split_coco_file(
    path: Path,
    out: Mapping[str, Path],
    val: float,
    test: float = 0.0,
    group: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Iterator[str]:
    """Write the parts of a COCO annotation file, see :func:`split_coco`; yields lines that tell what was written.

    Args:
        path (Path): The file.
        out (Mapping[str, Path]): Files of the parts.
        overwrite (bool): Replace files that are there.

    Raises:
        OSError, ValueError: The file is unusable, or one to write is there already.
    """
    files = {name: out[name] for name in PARTS[: 3 if test else 2]}
    if len({file.resolve() for file in (path, *files.values())}) <= len(files):
        raise ValueError(f'{path} and the files to write must differ; write them elsewhere')
    there = [str(file) for file in files.values() if file.exists()]
    if there and not overwrite:
        raise ValueError(f'there already: {" and ".join(there)}; --overwrite replaces what is there')
    content = load_coco_json(str(path), keys=('images', 'annotations'))
    parts, stray = split_coco(path, content, val, group, seed, test)
    write_files({files[name]: json.dumps(part).encode() for name, part in parts.items()})
    for (name, part), absent in zip(parts.items(), absent_classes(content, list(parts.values())), strict=True):
        groups = {group_of(image['file_name'], group, image) for image in part['images']}
        kinds = f' in {len(groups)} groups' if group else ''
        yield f'{files[name]}: {len(part["images"])} images{kinds}, {len(part["annotations"])} annotations'
        if absent:
            yield f'warning: {files[name].name} has no annotation of {", ".join(sorted(absent))}'
    if stray:
        yield f'warning: {stray} annotations are of images that {path} does not list, and were left out'


def absent_classes(content: dict, parts: Sequence[dict]) -> list[set[str]]:
    """Names of the categories that occur in the file but not in each of the parts."""
    categories = content.get('categories')
    name_of = {
        repr(category.get('id')): str(category.get('name'))
        for category in (categories if isinstance(categories, list) else ())
        if isinstance(category, dict)
    }
    occurring = [
        {name_of.get(repr(entry.get('category_id'))) for entry in part['annotations']} for part in (content, *parts)
    ]
    return [{name for name in occurring[0] - found if name is not None} for found in occurring[1:]]
