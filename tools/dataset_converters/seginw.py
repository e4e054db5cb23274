"""Check the data sets of Segmentation in the Wild, and make the annotation files that are missing.

    data/seginw/Elephants/valid/*.jpg  _annotations_min1cat.coco.json    as published for the benchmark, 25 such sets

    python tools/dataset_converters/seginw.py data/seginw

Exports from Roboflow have _annotations.coco.json, whose category 0 is the name of the project and belongs to no object.
Where only these are there, _annotations_min1cat.coco.json is made of them: without that category, the others beginning
from 0. Classes are compared with the published ones, and every listed image must exist.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.datasets.files.coco_json import file_name, index_categories, index_images, load_coco_json
from xdet.datasets.files.conversion import Record, add_arguments, run_conversion
from xdet.datasets.sets.base import missing_files, require_folder
from xdet.datasets.vocab import get_vocabulary
from xdet.io.schema import ID, require
from xdet.io.terminal import tell
from xdet.io.writing import write_json

SETS = (
    'Airplane-Parts', 'Bottles', 'Brain-Tumor', 'Chicken', 'Cows', 'Electric-Shaver', 'Elephants', 'Fruits', 'Garbage',
    'Ginger-Garlic', 'Hand', 'Hand-Metal', 'House-Parts', 'HouseHold-Items', 'Nutterfly-Squireel', 'Phones', 'Poles',
    'Puppies', 'Rail', 'Salmon-Fillet', 'Strawberry', 'Tablets', 'Toolkits', 'Trash', 'Watermelon',
)  # fmt: skip
"""The 25 sets of the benchmark, as their folders are called."""

ANNOTATIONS = '_annotations_min1cat.coco.json'
EXPORT = '_annotations.coco.json'


@dataclass(frozen=True)
class Part:
    """One split of one set."""

    root: Path
    name: str
    split: str

    @property
    def folder(self) -> Path:
        """Where its images are."""
        return self.root / self.name / self.split


def without_project(path: Path) -> dict:
    """Content of a Roboflow export without its category 0.

    Raises:
        FileNotFoundError, ValueError: See :func:`load_coco_json`; or objects are of category 0.
    """
    content = load_coco_json(str(path))
    categories, annotations = [], []
    for position, category in enumerate(content['categories']):
        number = require(category, 'id', int, f'{path}: category {position} (counted from 0)')
        if number != 0:
            categories.append({**category, 'id': number - 1})
    for position, annotation in enumerate(content['annotations']):
        where = f'{path}: annotation {position} (counted from 0)'
        number = require(annotation, 'category_id', int, where)
        if number == 0:
            name = require(annotation, 'id', ID, where)
            raise ValueError(f'{path}: annotation {name} is of category 0, which should be the name of the project')
        annotations.append({**annotation, 'category_id': number - 1})
    return {**content, 'categories': categories, 'annotations': annotations}


def convert(part: Part) -> Record:
    """Make the annotation file, if need be, and check it.

    Raises:
        FileNotFoundError: There are no annotations, or images are missing.
        ValueError: The classes are not the published ones.
    """
    require_folder(part.folder, f'the images of SegInW {part.name}')
    path = part.folder / ANNOTATIONS
    content = load_coco_json(str(path)) if path.is_file() else without_project(part.folder / EXPORT)
    categories = sorted(index_categories(str(path), content).values(), key=lambda category: category['id'])
    names = tuple(category['name'] for category in categories)
    expected = get_vocabulary(f'seginw_{part.name.lower().replace("-", "_")}').names
    if names != expected:
        raise ValueError(f'{path}: its classes are {", ".join(names)}; those of the benchmark {", ".join(expected)}')
    absent = missing_files(
        str(part.folder / file_name(str(path), image)) for image in index_images(str(path), content).values()
    )
    if absent:
        raise FileNotFoundError(f'{path}: {len(absent)} listed images do not exist, the first is {min(absent)}')
    if not path.is_file():
        write_json(path, content)
    return dict(
        files=[path.relative_to(part.root).as_posix()],
        images=len(content['images']),
        objects=len(content['annotations']),
    )


def report(records: dict[str, Record]) -> list[str]:
    """Print what the sets hold."""
    for name, record in records.items():
        tell(f'{name:<24}{record["images"]:>6} images{record["objects"]:>8} objects')
    return []


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder of the sets')
    parser.add_argument('--sets', nargs='+', default=list(SETS), choices=SETS, metavar='SET', help='default: all 25')
    parser.add_argument('--split', default='valid', help='folder in each set (default: valid, the benchmark)')
    add_arguments(parser)
    args = parser.parse_args()
    parts = {name: Part(args.root, name, args.split) for name in args.sets}
    with one_line_errors('converting SegInW', OSError, ValueError):
        run_conversion(args, args.root, f'seginw_{args.split}', parts, convert, report)


if __name__ == '__main__':
    sys.exit(run_program(main))
