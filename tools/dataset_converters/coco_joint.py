"""Training files of COCO without the images that a test set has: panoptic, captions, referring expressions, pairs.

    data/coco/annotations/
        panoptic_train2017.json  captions_train2017.json     as published
        refcoco_unc.json  refcoco+_unc.json  refcocog_umd.json   made by refer_to_json.py; those that there are
        dataset_coco.json                                    Karpathy's splits, if you have them
        panoptic_val2017.json

    python tools/dataset_converters/coco_joint.py data/coco --preset leak-free

adds panoptic_train2017_NAME.json, captions_train2017_NAME.json, grounding_train2017_NAME.json (the expressions of the
split train) and dataset_coco_NAME.json, which CocoJointDataset and ImageTextDataset read. NAME is the preset:

    filtrefgumdval_filtvlp   the files of the official training: without RefCOCOg's validation set (UMD) and Karpathy's
                             test set. Images that RefCOCO and RefCOCO+ test on are still there.
    leak-free                also without everything that RefCOCO, RefCOCO+ and RefCOCOg (UMD) validate and test on,
                             Karpathy's validation set, and COCO val2017, which Karpathy's training part has images of

--hold-out FILE or FILE:SPLIT,SPLIT holds out more; with --name instead of --preset nothing else is held out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.datasets.files.coco_json import load_coco_json
from xdet.datasets.files.conversion import Record, add_arguments, run_conversion
from xdet.datasets.sets.base import require_folder
from xdet.io.reading import listed
from xdet.io.schema import ID, require
from xdet.io.terminal import tell
from xdet.io.writing import write_json

PANOPTIC = 'panoptic_train2017.json'
CAPTIONS = 'captions_train2017.json'
EXPRESSIONS = ('refcoco_unc.json', 'refcoco+_unc.json', 'refcocog_umd.json')
PAIRS = 'dataset_coco.json'

PRESETS = {
    'filtrefgumdval_filtvlp': ('refcocog_umd.json:val', f'{PAIRS}:test'),
    'leak-free': (
        'refcoco_unc.json:val,testA,testB',
        'refcoco+_unc.json:val,testA,testB',
        'refcocog_umd.json:val,test',
        f'{PAIRS}:val,test',
        'panoptic_val2017.json',
    ),
}
"""What each preset holds out."""


@dataclass(frozen=True)
class Part:
    """One file to make.

    Attributes:
        sources (tuple[Path, ...]): Files to filter; of several, the annotations are joined.
        out (Path): The result.
        held_out (frozenset[int]): Ids of images to leave out.
        split (str, optional): Keep annotations of this split only.
    """

    sources: tuple[Path, ...]
    out: Path
    held_out: frozenset[int]
    split: str | None = None


def held_out_ids(path: Path, splits: Sequence[str] = ()) -> set[int]:
    """Ids of the images of a file, or of some of its splits.

    Args:
        path (Path): Any COCO annotation file, a file of referring expressions, or Karpathy's splits.
        splits (Sequence[str]): For the latter two.

    Raises:
        ValueError: The file has no such split.
    """
    content = load_coco_json(str(path), keys=('images',))
    if not splits:
        return {_id(image, path) for image in content['images']}
    by_split: dict[str, set[int | str]] = {}
    for entry in content.get('annotations', content['images']):
        key = 'image_id' if 'annotations' in content else 'cocoid'
        split = require(entry, 'split', str, f'{path}: an entry', 'none')
        by_split.setdefault(split, set()).add(require(entry, key, ID, f'{path}: an entry of split {split}'))
    absent = [split for split in splits if split not in by_split]
    if absent:
        raise ValueError(f'{path}: has no split {", ".join(absent)}; its splits are {listed(by_split)}')
    return set().union(*(by_split[split] for split in splits))


def convert(part: Part) -> Record:
    """Write one file and count what is left and what is not.

    Raises:
        FileNotFoundError, ValueError: A source is missing or unusable, or nothing is left.
    """
    contents = [load_coco_json(str(path), keys=('images',)) for path in part.sources]
    first = contents[0]
    images = {
        _id(image, path): image
        for path, content in zip(part.sources, contents, strict=True)
        for image in content['images']
    }
    kept = {number: image for number, image in images.items() if number not in part.held_out}
    result = {**first, 'images': list(kept.values())}
    if 'annotations' in first:
        annotations = []
        for path, content in zip(part.sources, contents, strict=True):
            for annotation in content.get('annotations', ()):
                require(annotation, 'image_id', ID, f'{path}: an annotation')
                annotations.append(annotation)
        result['annotations'] = [
            annotation
            for annotation in annotations
            if annotation['image_id'] in kept and part.split in (None, annotation.get('split'))
        ]
    if part.split is not None:
        used = {annotation['image_id'] for annotation in result['annotations']}
        result['images'] = [image for number, image in kept.items() if number in used]
    if not result['images']:
        raise ValueError(f'{part.out}: nothing is left of {", ".join(map(str, part.sources))}')
    write_json(part.out, result)
    counts = dict(images=len(result['images']), held_out=len(images) - len(kept))
    if 'annotations' in result:
        counts['annotations'] = len(result['annotations'])
    return dict(
        files=[part.out.name], counts=counts, ids=sorted((_id(image, part.out) for image in result['images']), key=str)
    )


def _id(image: dict, path: Path) -> int | str:
    where = f'{path}: an image'
    number = require(image, 'cocoid', ID, where, None)
    return require(image, 'id', ID, where) if number is None else number


def report(records: dict[str, Record]) -> list[str]:
    """Print what the files hold, and how many images of the panoptic file each says something about."""
    segmented = set(next(iter(records.values()))['ids'])
    for name, record in records.items():
        counts = record['counts']
        amount = f', {counts["annotations"]} annotations' if 'annotations' in counts else ''
        tell(
            f'{name}: {counts["images"]} images{amount}; {counts["held_out"]} images held out; '
            f'{len(segmented.intersection(record["ids"]))} of its images have segments'
        )
    return []


def find_parts(folder: Path, name: str, held_out: frozenset[int]) -> dict[str, Part]:
    """The files to make of those that there are."""
    expressions = tuple(folder / source for source in EXPRESSIONS if (folder / source).is_file())
    parts = [
        Part((folder / PANOPTIC,), folder / f'panoptic_train2017_{name}.json', held_out),
        Part((folder / CAPTIONS,), folder / f'captions_train2017_{name}.json', held_out),
    ]
    if expressions:
        parts.append(Part(expressions, folder / f'grounding_train2017_{name}.json', held_out, split='train'))
    if (folder / PAIRS).is_file():
        parts.append(Part((folder / PAIRS,), folder / f'dataset_coco_{name}.json', held_out))
    return {part.out.name: part for part in parts}


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder of COCO, with annotations/')
    parser.add_argument('--preset', choices=PRESETS, help='what to hold out')
    parser.add_argument(
        '--hold-out', nargs='+', default=[], metavar='FILE[:SPLIT,...]', help='more files in annotations/'
    )
    parser.add_argument('--name', help='ending of the names of the results (default: the preset)')
    add_arguments(parser)
    args = parser.parse_args()
    name = args.name or args.preset
    if name is None:
        parser.error('one of --preset and --name is needed')
    with one_line_errors('converting COCO', OSError, ValueError):
        folder = require_folder(args.root / 'annotations', "COCO's annotation files")
        held_out: set[int] = set()
        for entry in (*PRESETS.get(args.preset, ()), *args.hold_out):
            file, _, splits = entry.partition(':')
            found = held_out_ids(folder / file, splits.split(',') if splits else ())
            tell(f'{entry}: {len(found)} images to hold out')
            held_out |= found
        parts = find_parts(folder, name, frozenset(held_out))
        run_conversion(args, folder, f'coco_joint_{name}', parts, convert, report)


if __name__ == '__main__':
    sys.exit(run_program(main))
