"""Panoptic and instance annotations of Cityscapes in COCO's layouts.

    data/cityscapes/
        leftImg8bit/{train,val}/CITY/NAME_leftImg8bit.png
        gtFine/{train,val}/CITY/NAME_gtFine_instanceIds.png

    python tools/dataset_converters/cityscapes.py data/cityscapes

adds gtFine/cityscapes_panoptic_val/, gtFine/cityscapes_panoptic_val.json (equal to what createPanopticImgs.py of
cityscapesScripts writes, apart from ids of categories being those of labels.py as there by default) and
gtFine/cityscapes_instance_val.json.

An instance image has 1000 * class + number for things and the class alone for stuff and for groups of things, which are
crowds. Classes that are not evaluated are void.
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
from xdet.datasets.files.panoptic_files import (
    instance_annotation,
    write_annotation_files,
)
from xdet.datasets.files.segment_maps import read_pixels
from xdet.datasets.sets.base import require_folder
from xdet.datasets.vocab import get_class_list
from xdet.io.writing import write_image
from xdet.structures.masks.panoptic import panoptic_pixels

SUFFIX = '_gtFine_instanceIds.png'
_PER_CLASS = 1000


@dataclass(frozen=True)
class Annotation:
    """Instance image of one image.

    Attributes:
        root (Path): Folder ``gtFine``.
        split (str): ``'train'`` or ``'val'``.
        path (Path): The instance image.
    """

    root: Path
    split: str
    path: Path

    @property
    def image_id(self) -> str:
        """``<city>_<sequence>_<frame>``."""
        return self.path.name.removesuffix(SUFFIX)


def convert(item: Annotation) -> Record:
    """Write the panoptic image of one picture and describe its segments and objects.

    Raises:
        ValueError: The file is damaged or no instance image.
    """
    ids = read_pixels(str(item.path)).astype(np.int64)
    if ids.ndim != 2:
        raise ValueError(f'{item.path}: not an instance image (one channel of 16 bits)')
    classes = get_class_list('cityscapes_19')
    thing_of_id = dict(zip(classes.ids, classes.is_thing, strict=True))
    segments, instances, panoptic = [], [], np.zeros(ids.shape, dtype=np.uint32)
    for number in np.unique(ids).tolist():
        category = number // _PER_CLASS if number >= _PER_CLASS else number
        if category not in thing_of_id:
            continue
        mask = ids == number
        crowd = thing_of_id[category] and number < _PER_CLASS
        described = instance_annotation(mask, item.image_id, category, crowd)
        panoptic[mask] = number
        segments.append(dict(id=number, **{key: described[key] for key in ('category_id', 'area', 'bbox', 'iscrowd')}))
        if thing_of_id[category]:
            instances.append(described)
    path = f'cityscapes_panoptic_{item.split}/{item.image_id}_gtFine_panoptic.png'
    write_image(item.root / path, panoptic_pixels(panoptic))
    height, width = ids.shape
    image = dict(id=item.image_id, file_name=f'{item.image_id}_gtFine_leftImg8bit.png', height=height, width=width)
    return dict(files=[path], image=image, segments_info=segments, instances=instances)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder of leftImg8bit and gtFine')
    parser.add_argument('--splits', nargs='+', choices=('train', 'val'), default=['val'])
    add_arguments(parser)
    args = parser.parse_args()
    root, classes = args.root / 'gtFine', get_class_list('cityscapes_19')
    with one_line_errors('converting Cityscapes', OSError, ValueError):
        for split in args.splits:
            folder = require_folder(root / split, 'the annotations')
            found = [Annotation(root, split, path) for path in sorted(folder.glob(f'*/*{SUFFIX}'))]
            items = {item.image_id: item for item in found}
            name, vocabulary = f'cityscapes_{{}}_{split}.json', classes.vocabulary()
            finish = partial(
                write_annotation_files, root, name, vocabulary, ids=classes.ids, suffix='_gtFine_panoptic.png'
            )
            run_conversion(args, root, f'cityscapes_{split}', items, convert, finish, split)


if __name__ == '__main__':
    sys.exit(run_program(main))
