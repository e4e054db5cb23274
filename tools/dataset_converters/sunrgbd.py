"""List of the test images of SUN RGB-D with their labels of 37 classes, after a look at every label image.

    python tools/dataset_converters/sunrgbd.py data/sunrgbd

reads the forms in which the data set is passed on:

    SUNRGBD-test_images/img-000001.jpg   sunrgbd_train_test_labels/img-000001.png    (ankurhanda/sunrgbd-meta-data)
    image/test/img-000001.jpg            label37/test/00000001.png                   (chrischoy/SUN_RGBD)

also where their archives were extracted without folders, and writes test37.txt, a line of image and label for each.
Images and labels belong together by their number; the first 5050 labels of the first form are the test set.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.datasets.files.conversion import Record, add_arguments, run_conversion
from xdet.datasets.sets.base import require_folder
from xdet.io.terminal import tell
from xdet.io.writing import write_text

IMAGE_FOLDERS = ('SUNRGBD-test_images', 'image/test', '.')
LABEL_FOLDERS = ('sunrgbd_train_test_labels', 'label37/test', '.')

NUM_TEST = 5050
_ACCEPTED = (*range(38), 255)


@dataclass(frozen=True)
class Pair:
    """An image and its label image, relative to ``root``."""

    root: Path
    image: str
    label: str


def find_pairs(root: Path) -> dict[str, Pair]:
    """Images with their label images, by number.

    Raises:
        FileNotFoundError: There are no images, or one has no label image.
    """
    require_folder(root, 'the folder of SUN RGB-D')
    images = _first_numbered(root, IMAGE_FOLDERS, '.jpg')
    labels = _first_numbered(root, LABEL_FOLDERS, '.png')
    unlabelled = sorted(set(images) - set(labels))
    if unlabelled:
        raise FileNotFoundError(f'{images[unlabelled[0]]}: has no label image ({len(unlabelled)} such images)')
    return {
        f'{number:06d}': Pair(root, *(files[number].relative_to(root).as_posix() for files in (images, labels)))
        for number in sorted(images)
    }


def _first_numbered(root: Path, folders: tuple[str, ...], suffix: str) -> dict[int, Path]:
    """Files by their number, of the first folder that has any."""
    for folder in folders:
        paths = sorted((root / folder).glob(f'*{suffix}'))
        files = {int(match.group()): path for path in paths if (match := re.search(r'\d+$', path.stem))}
        if files:
            return files
    raise FileNotFoundError(f'{root}: no test set of SUN RGB-D; expected *{suffix} in {", ".join(folders)}')


def check(pair: Pair) -> Record:
    """Look at one pair.

    Raises:
        ValueError: The label image does not fit the image, or holds other values than 0 to 37 and 255.
    """
    with Image.open(pair.root / pair.image) as image, Image.open(pair.root / pair.label) as label:
        size, values = image.size, np.array(label)
    if values.shape != size[::-1]:
        found = 'x'.join(map(str, values.shape[1::-1])) + (
            f' with {values.shape[2]} channels' if values.ndim > 2 else ''
        )
        raise ValueError(f'{pair.root / pair.label}: is {found} but its image {size[0]}x{size[1]}')
    strange = np.setdiff1d(values, _ACCEPTED)
    if len(strange):
        raise ValueError(f'{pair.root / pair.label}: label value {strange[0]} is none of 0 to 37 and 255')
    return dict(files=[], pair=[pair.image, pair.label])


def finish(root: Path, records: dict[str, Record]) -> list[str]:
    """Write the list."""
    write_text(root / 'test37.txt', ''.join(' '.join(record['pair']) + '\n' for record in records.values()))
    return ['test37.txt']


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder of the data set')
    add_arguments(parser)
    args = parser.parse_args()
    with one_line_errors('converting SUN RGB-D', OSError, ValueError):
        pairs = find_pairs(args.root)
        if len(pairs) != NUM_TEST:
            tell(f'note: {len(pairs)} images, but the test set has {NUM_TEST}')
        run_conversion(args, args.root, 'sunrgbd', pairs, check, partial(finish, args.root))


if __name__ == '__main__':
    sys.exit(run_program(main))
