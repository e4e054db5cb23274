"""Pictures and label images of the 847 classes of the full ADE20K (release ADE20K_2021_17_01).

    data/ADE20K_2021_17_01/images/ADE/{training,validation}/.../{NAME.jpg,NAME_seg.png}    as published

    python tools/dataset_converters/ade20k_full.py data/ADE20K_2021_17_01

adds images_detectron2/validation/NAME.jpg and annotations_detectron2/validation/NAME.tif (16 bits, 65535 is void), as
MaskFormer's script does, with which published numbers were made: images whose shorter side exceeds 512 pixels are
made smaller, bilinearly, and written as JPEG once more.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.datasets.files.conversion import Record, add_arguments, run_conversion
from xdet.datasets.files.image_io import read_image
from xdet.datasets.files.segment_maps import read_pixels
from xdet.datasets.sets.base import require_folder
from xdet.datasets.vocab import get_class_list
from xdet.io.writing import write_image

VOID = 65535
_SHORT_SIDE = 512


@dataclass(frozen=True)
class Picture:
    """One image.

    Attributes:
        root (Path): Folder of the data.
        split (str): ``'training'`` or ``'validation'``.
        path (Path): The image.
    """

    root: Path
    split: str
    path: Path


def object_ids(colours: np.ndarray) -> np.ndarray:
    """Ids ``[H, W]`` of a published segmentation image ``[H, W, 3]``: high byte tens of red, low byte green."""
    return colours[..., 0].astype(np.int32) // 10 * 256 + colours[..., 1]


def small_size(height: int, width: int) -> tuple[int, int]:
    """Height and width with a shorter side of at most 512 pixels."""
    if min(height, width) <= _SHORT_SIDE:
        return height, width
    if width >= height:
        return _SHORT_SIDE, round(width / float(height) * _SHORT_SIDE)
    return round(height / float(width) * _SHORT_SIDE), _SHORT_SIDE


def convert(item: Picture) -> Record:
    """Write one image and its label image.

    Raises:
        ValueError: A file is damaged, or the two differ in size.
    """
    seg_path = item.path.with_name(f'{item.path.stem}_seg.png')
    pixels = read_image(item.path)[..., ::-1]
    colours = read_pixels(str(seg_path))
    if colours.ndim != 3 or colours.shape[:2] != pixels.shape[:2]:
        raise ValueError(f'{seg_path}: not a colour image of the size of its picture')
    ids = object_ids(colours)
    height, width = small_size(*ids.shape)
    if (height, width) != ids.shape:
        pixels = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_LINEAR)
        ids = cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST)
    known = np.array(get_class_list('ade20k_847').ids)
    label_of_id = np.full(max(ids.max(), known.max()) + 1, VOID, dtype=np.uint16)
    label_of_id[known] = np.arange(len(known))
    files = [
        f'images_detectron2/{item.split}/{item.path.name}',
        f'annotations_detectron2/{item.split}/{item.path.stem}.tif',
    ]
    write_image(item.root / files[0], np.ascontiguousarray(pixels))
    write_image(item.root / files[1], label_of_id[ids])
    return dict(files=files)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder ADE20K_2021_17_01')
    parser.add_argument('--splits', nargs='+', choices=('training', 'validation'), default=['validation'])
    add_arguments(parser)
    args = parser.parse_args()
    with one_line_errors('converting ADE20K', OSError, ValueError):
        for split in args.splits:
            folder = require_folder(args.root / 'images' / 'ADE' / split, 'the images')
            items = {path.stem: Picture(args.root, split, path) for path in sorted(folder.rglob('*.jpg'))}
            run_conversion(args, args.root, f'ade20k_847_{split}', items, convert, split=split)


if __name__ == '__main__':
    sys.exit(run_program(main))
