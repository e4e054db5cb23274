"""Panoptic and instance annotations of ADE20K's scene parsing benchmark (150 classes) in COCO's layouts.

    data/ADEChallengeData2016/
        images/{training,validation}/NAME.jpg
        annotations/{training,validation}/NAME.png             0 is void, 1 to 150 are classes
        annotations_instance/{training,validation}/NAME.png    red: 1 to 100, a thing; green: number of the object

    python tools/dataset_converters/ade20k.py data/ADEChallengeData2016

adds ade20k_panoptic_val/, ade20k_panoptic_val.json and ade20k_instance_val.json. Files of these names that the scripts
of Mask2Former or mmdet made from the same images work as well.

Things come from the instance images, stuff from the class images; pixels that only the class images call a thing belong
to no segment, so semantic results are compared with annotations/ and not with the segments.
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
    describe_segments,
    instance_annotation,
    write_annotation_files,
)
from xdet.datasets.files.segment_maps import read_pixels
from xdet.datasets.sets.base import require_folder
from xdet.datasets.vocab import get_vocabulary
from xdet.io.writing import write_image
from xdet.structures.masks.panoptic import panoptic_pixels

SPLITS = dict(validation='val', training='train')
_VOID = -1


@dataclass(frozen=True)
class Labels:
    """Annotations of one image.

    Attributes:
        root (Path): Folder of the data.
        split (str): One of :data:`SPLITS`.
        name (str): Of the image, without suffix.
    """

    root: Path
    split: str
    name: str

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Maps ``[H, W]``: class (-1 for void), class of things (-1 for none), and number of the object.

        Raises:
            ValueError: A file is not of the stated form, or the two differ in size.
        """
        paths = [
            self.root / folder / self.split / f'{self.name}.png' for folder in ('annotations', 'annotations_instance')
        ]
        classes, objects = (read_pixels(str(path)) for path in paths)
        vocabulary = get_vocabulary('ade20k_150')
        things = [label for label, thing in enumerate(vocabulary.is_thing) if thing]
        if classes.ndim != 2 or classes.max() > len(vocabulary):
            raise ValueError(f'{paths[0]}: not a label image with values from 0 to {len(vocabulary)}')
        if objects.ndim != 3 or objects.shape[:2] != classes.shape or objects[..., 0].max() > len(things):
            raise ValueError(
                f'{paths[1]}: not an instance image of the size of {paths[0]} with red values from 0 to {len(things)}'
            )
        label_of_thing = np.array([_VOID, *things])
        return classes.astype(np.int64) - 1, label_of_thing[objects[..., 0]], objects[..., 1]


def convert(item: Labels) -> Record:
    """Write the panoptic image of one picture and describe its segments and objects.

    Raises:
        ValueError: See :meth:`Labels.read`; or an object belongs to several classes.
    """
    classes, thing_classes, objects = item.read()
    is_thing = np.array(get_vocabulary('ade20k_150').is_thing)
    indices = np.zeros(classes.shape, dtype=np.uint32)
    labels = []
    for label in np.unique(classes[classes >= 0]).tolist():
        if not is_thing[label]:
            labels.append(label)
            indices[classes == label] = len(labels)
    instances = []
    for number in np.unique(objects[objects > 0]).tolist():
        mask = objects == number
        found = np.unique(thing_classes[mask])
        if len(found) != 1 or found[0] == _VOID:
            raise ValueError(
                f'{item.split}/{item.name}: object {number} has {len(found)} classes or none; expected one'
            )
        labels.append(int(found[0]))
        indices[mask] = len(labels)
        instances.append(instance_annotation(mask, item.name, found[0]))
    path = f'ade20k_panoptic_{SPLITS[item.split]}/{item.name}.png'
    write_image(item.root / path, panoptic_pixels(indices))
    height, width = classes.shape
    return dict(
        files=[path],
        image=dict(id=item.name, file_name=f'{item.name}.jpg', height=height, width=width),
        segments_info=describe_segments(indices, labels),
        instances=instances,
    )


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder ADEChallengeData2016')
    parser.add_argument('--splits', nargs='+', choices=SPLITS, default=['validation'])
    add_arguments(parser)
    args = parser.parse_args()
    with one_line_errors('converting ADE20K', OSError, ValueError):
        for split in args.splits:
            folder = require_folder(args.root / 'images' / split, 'the images')
            require_folder(args.root / 'annotations_instance' / split, 'the instance images, a download of their own')
            items = {path.stem: Labels(args.root, split, path.stem) for path in sorted(folder.glob('*.jpg'))}
            name = f'ade20k_{{}}_{SPLITS[split]}.json'
            finish = partial(write_annotation_files, args.root, name, get_vocabulary('ade20k_150'))
            run_conversion(args, args.root, f'ade20k_{SPLITS[split]}', items, convert, finish, split)


if __name__ == '__main__':
    sys.exit(run_program(main))
