"""Split a COCO JSON into a part to train on and a part to validate on.

    python tools/misc/split_coco.py data/balloons/instances.json
    python tools/misc/split_coco.py data/frames/instances.json --val 200 --group folder
    python tools/misc/split_coco.py data/plants/instances.json --group '(.+)_view\\d+'

writes train.json and val.json beside the file. Instances, captions and referring expressions all work: images are
divided, and every annotation follows its image. The image files stay where they are. The same file and options always
give the same split.

--group keeps images together that are nearly the same, such as the frames of a video. Otherwise validation would
measure how well the model remembers them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from xdet.cli.errors import one_line_errors
from xdet.datasets.files.coco_json import load_coco_json
from xdet.io.schema import ID, require
from xdet.io.writing import write_files

FOLDER = 'folder'


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__.split('\n', 2)[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument('ann_file', type=Path, help='COCO JSON with images and annotations')
    parser.add_argument(
        '--val', type=float, default=0.2, metavar='SHARE', help='share of the images (0.2), or their number (50)'
    )
    parser.add_argument(
        '--group',
        metavar='folder|REGEX',
        help='images stay together that have the same folder, or the same match at the beginning of their file name; '
        'with parentheses, the same first group of it',
    )
    parser.add_argument('--seed', type=int, default=0, help='another seed gives another split')
    parser.add_argument('--train-out', type=Path, metavar='FILE', help='default: train.json beside the file')
    parser.add_argument('--val-out', type=Path, metavar='FILE', help='default: val.json beside the file')
    parser.add_argument('--overwrite', action='store_true', help='replace files that are there already')
    return parser.parse_args()


def group_of(file_name: str, group: str | None) -> str:
    """What images have in common that stay together.

    Raises:
        ValueError: The expression does not match the name.
    """
    if group is None:
        return file_name
    if group == FOLDER:
        return str(PurePosixPath(file_name).parent)
    try:
        found = re.match(group, PurePosixPath(file_name).name)
    except re.error as error:
        raise ValueError(f"--group '{group}' is no regular expression: {error}") from None
    if found is None or (found.re.groups and found[1] is None):
        raise ValueError(f"--group '{group}' does not match the beginning of '{PurePosixPath(file_name).name}'")
    return found[1] if found.re.groups else found[0]


def choose_groups(sizes: dict[str, int], val: float, seed: int) -> set[str]:
    """Groups to validate on, as near to the wanted number of images as whole groups allow.

    Args:
        sizes (dict[str, int]): Number of images of every group.
        val (float): Share of the images if below 1, else their number.
        seed (int): Which split.

    Raises:
        ValueError: The number is out of range, or there are fewer than two groups.
    """
    total = sum(sizes.values())
    wanted = val * total if val < 1 else val
    if not 0 < wanted < total or (val > 1 and val != int(val)):
        raise ValueError(f'--val is {val:g}; accepted are shares between 0 and 1, and numbers from 1 to {total - 1}')
    if len(sizes) < 2:
        raise ValueError(f'all {total} images are of one group, {next(iter(sizes), None)!r}; a split needs two')
    # Sorted by a hash of the group alone: a split does not depend on the order of the file.
    order = sorted(sizes, key=lambda name: hashlib.sha256(f'{seed} {name}'.encode()).hexdigest())
    chosen: set[str] = set()
    taken = 0
    for name in order:
        if abs(taken + sizes[name] - wanted) < abs(taken - wanted):
            chosen.add(name)
            taken += sizes[name]
    if not chosen:
        chosen.add(min(order, key=lambda name: sizes[name]))
    if len(chosen) == len(sizes):
        chosen.remove(min(order, key=lambda name: sizes[name]))
    return chosen


def split(path: Path, content: dict, val: float, group: str | None, seed: int) -> tuple[dict, dict, int]:
    """Parts of an annotation file.

    Args:
        path (Path): Name of the file, for errors.
        content (dict): Its content.
        val (float): See :func:`choose_groups`.
        group (str, optional): See :func:`group_of`.
        seed (int): Which split.

    Returns:
        tuple[dict, dict, int]: Content for training and for validation, and the number of annotations that belong to no
        listed image and are therefore in neither.

    Raises:
        ValueError: The file or an option is unusable.
    """
    names: dict[int | str, str] = {}
    for position, image in enumerate(content['images']):
        where = f'{path}: images[{position}]'
        number = require(image, 'id', ID, where)
        if number in names:
            raise ValueError(f'{where}: has the id {number!r} of an image before it')
        names[number] = group_of(require(image, 'file_name', str, where), group)
    owners = [
        require(annotation, 'image_id', ID, f'{path}: annotations[{position}]')
        for position, annotation in enumerate(content['annotations'])
    ]
    if not names:
        raise ValueError(f'{path}: lists no images')
    chosen = choose_groups(Counter(names.values()), val, seed)
    stray = sum(owner not in names for owner in owners)
    parts = []
    for validation in (False, True):
        kept = {number for number, name in names.items() if (name in chosen) == validation}
        images = [image for image, number in zip(content['images'], names, strict=True) if number in kept]
        annotations = [entry for entry, owner in zip(content['annotations'], owners, strict=True) if owner in kept]
        parts.append({**content, 'images': images, 'annotations': annotations})
    return parts[0], parts[1], stray


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
    return [occurring[0] - found - {None} for found in occurring[1:]]


def main() -> None:
    args = parse_args()
    with one_line_errors('splitting', OSError, ValueError):
        out = [args.train_out or args.ann_file.with_name('train.json')]
        out.append(args.val_out or args.ann_file.with_name('val.json'))
        if len({path.resolve() for path in (args.ann_file, *out)}) < 3:
            raise ValueError(f'{args.ann_file} and the files to write must differ; use --train-out, --val-out')
        there = [str(path) for path in out if path.exists()]
        if there and not args.overwrite:
            raise ValueError(f'{" and ".join(there)} exists; --overwrite replaces it')
        content = load_coco_json(str(args.ann_file), keys=('images', 'annotations'))
        train, val, stray = split(args.ann_file, content, args.val, args.group, args.seed)
        write_files({path: json.dumps(part).encode() for path, part in zip(out, (train, val), strict=True)})
    for path, part, absent in zip(out, (train, val), absent_classes(content, (train, val)), strict=True):
        groups = {group_of(image['file_name'], args.group) for image in part['images']}
        kinds = f' in {len(groups)} groups' if args.group else ''
        print(f'{path}: {len(part["images"])} images{kinds}, {len(part["annotations"])} annotations')
        if absent:
            print(f'warning: {path.name} has no annotation of {", ".join(sorted(absent))}')
    if stray:
        print(f'warning: {stray} annotations are of images that {args.ann_file} does not list, and were left out')


if __name__ == '__main__':
    main()
