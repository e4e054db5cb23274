"""Join the files of the REFER data sets (RefCOCO, RefCOCO+, RefCOCOg) into one JSON file in COCO's layout.

REFER keeps expressions in a pickle, refs(unc).p or refs(umd).p, beside instances.json. A pickle may run any program
when it is opened. So it is read here with an unpickler that refuses everything but plain lists, dicts, texts and
numbers, which is all that the real files hold.

The result has, per referred object, the annotation of instances.json with ref_id, split and sentences: the layout of
the official grounding_train2017_*.json and refcocog_umd_val.json, which RefCocoDataset and CocoJointDataset read. How
much there is of every split is printed; the numbers published for it are in configs/benchmarks/refcoco-splits.py.

Usage: python tools/dataset_converters/refer_to_json.py refcoco/refs(unc).p refcoco/instances.json refcoco_unc.json
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from xdet.datasets.files.coco_json import load_coco_json
from xdet.datasets.files.conversion import Conversion, Record, add_arguments
from xdet.io.writing import write_json

KEPT = ('segmentation', 'area', 'iscrowd', 'image_id', 'bbox', 'category_id', 'id')


class PlainUnpickler(pickle.Unpickler):
    """Unpickler of plain data; any reference to a class or function is an error."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse."""
        raise pickle.UnpicklingError(f'it refers to {module}.{name}; only lists, dicts, texts and numbers are accepted')

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse."""
        raise pickle.UnpicklingError('it refers to something outside of the file')


def read_refs(path: Path) -> list[dict]:
    """Expressions of a REFER pickle.

    Raises:
        ValueError: The file is no pickle, or holds more than plain data.
    """
    try:
        with path.open('rb') as file:
            # Python 2 wrote these files; texts are ASCII or, in a few sentences, Latin-1.
            refs = PlainUnpickler(file, encoding='latin1').load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{path}: cannot be read safely ({error})') from None
    if not isinstance(refs, list) or not all(isinstance(ref, dict) and 'ann_id' in ref for ref in refs):
        raise ValueError(f'{path}: not a list of referring expressions')
    return refs


def join(refs: list[dict], instances: dict) -> dict:
    """Images and annotations that expressions refer to.

    Raises:
        ValueError: An expression refers to an object that is not annotated.
    """
    annotations = {annotation['id']: annotation for annotation in instances['annotations']}
    joined = []
    for ref in refs:
        if ref['ann_id'] not in annotations:
            raise ValueError(
                f'expression {ref.get("ref_id")} refers to annotation {ref["ann_id"]}, which is not listed'
            )
        annotation = annotations[ref['ann_id']]
        joined.append(
            {key: annotation[key] for key in KEPT if key in annotation}
            | dict(ann_id=ref['ann_id'], ref_id=ref['ref_id'], split=ref['split'], sentences=ref['sentences'])
        )
    used = {annotation['image_id'] for annotation in joined}
    images = [image for image in instances['images'] if image['id'] in used]
    return dict(images=images, annotations=joined, categories=instances.get('categories', []))


@dataclass(frozen=True)
class Job:
    """What to join, and where to."""

    refs: Path
    instances: Path
    out: Path


def convert(job: Job) -> Record:
    """Write the joined file.

    Raises:
        OSError, ValueError: A file is missing or unusable.
    """
    joined = join(read_refs(job.refs), load_coco_json(str(job.instances), keys=('images', 'annotations')))
    write_json(job.out, joined)
    return dict(files=[job.out.name], splits=count(joined['annotations']))


def count(annotations: list[dict]) -> dict[str, dict[str, int]]:
    """Images, objects and sentences of every split, and of all."""
    splits = sorted({annotation['split'] for annotation in annotations})
    counts = {}
    for name in (*splits, 'all'):
        own = [annotation for annotation in annotations if name in ('all', annotation['split'])]
        counts[name] = dict(
            images=len({annotation['image_id'] for annotation in own}),
            objects=len(own),
            sentences=sum(len(annotation['sentences']) for annotation in own),
        )
    return counts


def report(records: dict[str, Record]) -> list[str]:
    """Print what the file holds."""
    for name, record in records.items():
        for split, counts in record['splits'].items():
            print(f'{name}, {split}: {", ".join(f"{number} {what}" for what, number in counts.items())}')
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('refs', type=Path, help='refs(unc).p, refs(umd).p or refs(google).p')
    parser.add_argument('instances', type=Path, help='instances.json of the same data set')
    parser.add_argument('out', type=Path)
    add_arguments(parser)
    args = parser.parse_args()
    job = Job(args.refs, args.instances, args.out)
    try:
        summary = Conversion.from_args(args.out.parent, args.out.stem, args).run({args.out.name: job}, convert, report)
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    if summary:
        print(summary)


if __name__ == '__main__':
    main()
