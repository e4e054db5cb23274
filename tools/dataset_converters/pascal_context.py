"""Label images of PASCAL Context's 59 and 459 classes from its .mat files.

    data/VOCdevkit/VOC2010/
        JPEGImages/*.jpg  ImageSets/Main/{train,val}.txt    VOC 2010
        trainval/*.mat                                      PASCAL-Context

    python tools/dataset_converters/pascal_context.py data/VOCdevkit/VOC2010

adds context_59/*.png (8 bits, 255 is void) and context_459/*.png (16 bits, 65535 is void); values are classes from 0.
The 59 classes are those of the 459 that have their names; the other 400 become void.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.datasets.files.conversion import Record, add_arguments, run_conversion
from xdet.datasets.sets.base import require_folder
from xdet.io.writing import write_image

IDS_OF_59 = (
    2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159,
    162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397,
    415, 416, 420, 424, 427, 440, 445, 454, 458,
)  # fmt: skip
"""Values in the .mat files of the 59 classes, in the order of ``pascal_context_59``."""

NUM_CLASSES = 459
VOID_59, VOID_459 = 255, 65535


@dataclass(frozen=True)
class Item:
    """One image."""

    root: Path
    name: str


def find_items(root: Path, split: str) -> dict[str, Item]:
    """The images of a split of VOC 2010.

    Raises:
        FileNotFoundError: Folders, the list or .mat files are missing.
    """
    folder = require_folder(root / 'trainval', 'the .mat files of PASCAL-Context, trainval.tar.gz')
    split_file = root / 'ImageSets' / 'Main' / f'{split}.txt'
    if not split_file.is_file():
        raise FileNotFoundError(f'{split_file}: list of the images does not exist; it is part of VOC 2010')
    names = split_file.read_text(encoding='utf-8').split()
    present = {path.stem for path in folder.glob('*.mat')}
    absent = [name for name in names if name not in present]
    if absent:
        raise FileNotFoundError(
            f'{folder}: {len(absent)} of {len(names)} .mat files are missing, first {absent[0]}.mat'
        )
    return {name: Item(root, name) for name in names}


def convert(item: Item) -> Record:
    """Write both label images of one image.

    Raises:
        ValueError: The file is not one of PASCAL-Context.
    """
    path = item.root / 'trainval' / f'{item.name}.mat'
    try:
        labels = loadmat(path)['LabelMap']
    except (KeyError, MatReadError, NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(f'{path}: not a label file of PASCAL-Context ({error})') from error
    if labels.ndim != 2 or labels.max(initial=0) > NUM_CLASSES:
        raise ValueError(f'{path}: LabelMap is {labels.shape} up to {labels.max(initial=0)}; accepted are 0 to 459')
    all_classes = np.array([VOID_459, *range(NUM_CLASSES)], dtype=np.uint16)
    some_classes = np.full(NUM_CLASSES + 1, VOID_59, dtype=np.uint8)
    some_classes[list(IDS_OF_59)] = np.arange(len(IDS_OF_59))
    files = {f'context_59/{item.name}.png': some_classes, f'context_459/{item.name}.png': all_classes}
    for name, table in files.items():
        write_image(item.root / name, table[labels])
    return dict(files=list(files))


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='the folder VOC2010')
    parser.add_argument('--split', default='val', choices=('train', 'val', 'trainval'))
    add_arguments(parser)
    args = parser.parse_args()
    with one_line_errors('converting Pascal Context', OSError, ValueError):
        items = find_items(args.root, args.split)
        run_conversion(args, args.root, f'context_{args.split}', items, convert)


if __name__ == '__main__':
    sys.exit(run_program(main))
