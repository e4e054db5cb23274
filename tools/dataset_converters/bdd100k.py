"""Panoptic annotations of BDD100K's 10k images (40 classes) in COCO's layout.

    data/bdd100k/
        images/10k/{train,val}/NAME.jpg
        labels/pan_seg/bitmasks/{train,val}/NAME.png    red: class, 0 is void; green: attributes; blue, alpha: object

    python tools/dataset_converters/bdd100k.py data/bdd100k

adds labels/pan_seg/panoptic_val/ and labels/pan_seg/panoptic_val.json, by the rules of to_coco_panseg.py of the bdd100k
toolkit: all stuff of one class is one segment; crowds and ignored objects (lowest two bits of the attributes) are
crowds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.datasets.files.conversion import Record, add_arguments, run_conversion
from xdet.datasets.files.panoptic_files import describe_segments, write_annotation_files
from xdet.datasets.files.segment_maps import read_pixels
from xdet.datasets.sets.base import require_folder
from xdet.datasets.vocab import get_class_list
from xdet.io.writing import write_image
from xdet.structures.masks.panoptic import panoptic_pixels

_CROWD_OR_IGNORED = 3


@dataclass(frozen=True)
class Bitmask:
    """Annotation of one image.

    Attributes:
        root (Path): Folder ``labels/pan_seg``.
        split (str): ``'train'`` or ``'val'``.
        path (Path): The bitmask.
    """

    root: Path
    split: str
    path: Path


def convert(item: Bitmask) -> Record:
    """Write the panoptic image of one picture and describe its segments.

    Raises:
        ValueError: The file is damaged or no bitmask, or an object belongs to several classes.
    """
    pixels = read_pixels(str(item.path)).astype(np.int64)
    classes = get_class_list('bdd100k_pano_40')
    if pixels.ndim != 3 or pixels.shape[-1] != 4 or pixels[..., 0].max() > max(classes.ids):
        raise ValueError(f'{item.path}: not a bitmask (four channels, red from 0 to {max(classes.ids)})')
    thing_of_id = dict(zip(classes.ids, classes.is_thing, strict=True))
    objects = pixels[..., 2] * 256 + pixels[..., 3]
    indices = np.zeros(objects.shape, dtype=np.uint32)
    categories, crowds, index_of_stuff = [], [], {}
    for number in np.unique(objects[objects > 0]).tolist():
        mask = objects == number
        found = np.unique(pixels[mask][:, 0]).tolist()
        if len(found) != 1:
            raise ValueError(f'{item.path}: object {number} has the classes {found}; expected one')
        [category] = found
        if category == 0:
            continue
        crowd = bool((pixels[mask][:, 1] & _CROWD_OR_IGNORED).any())
        if category in index_of_stuff:
            crowds[index_of_stuff[category] - 1] &= crowd
            indices[mask] = index_of_stuff[category]
            continue
        categories.append(category)
        crowds.append(crowd)
        indices[mask] = len(categories)
        if not thing_of_id[category]:
            index_of_stuff[category] = len(categories)
    path = f'panoptic_{item.split}/{item.path.name}'
    write_image(item.root / path, panoptic_pixels(indices))
    height, width = objects.shape
    return dict(
        files=[path],
        image=dict(id=item.path.stem, file_name=f'{item.path.stem}.jpg', height=height, width=width),
        segments_info=describe_segments(indices, categories, crowds),
    )


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder of images and labels')
    parser.add_argument('--splits', nargs='+', choices=('train', 'val'), default=['val'])
    add_arguments(parser)
    args = parser.parse_args()
    root, classes = args.root / 'labels' / 'pan_seg', get_class_list('bdd100k_pano_40')
    with one_line_errors('converting BDD100K', OSError, ValueError):
        for split in args.splits:
            folder = require_folder(root / 'bitmasks' / split, 'the bitmasks')
            items = {path.stem: Bitmask(root, split, path) for path in sorted(folder.glob('*.png'))}
            name, vocabulary = f'{{}}_{split}.json', classes.vocabulary()
            finish = partial(write_annotation_files, root, name, vocabulary, ids=classes.ids)
            run_conversion(args, root, f'panoptic_{split}', items, convert, finish, split)


if __name__ == '__main__':
    sys.exit(run_program(main))
