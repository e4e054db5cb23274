"""Join the files of the REFER data sets (RefCOCO, RefCOCO+, RefCOCOg) into one JSON file in COCO's layout.

REFER keeps expressions in a pickle, refs(unc).p or refs(umd).p, beside instances.json. A pickle may run any program
when it is opened. So it is read here with an unpickler that refuses everything but plain lists, dicts, texts and
numbers, which is all that the real files hold.

The result has, per referred object, the annotation of instances.json with ref_id, split and sentences: the layout of
the official grounding_train2017_*.json and refcocog_umd_val.json, which RefCocoDataset and CocoJointDataset read.

Usage: python tools/dataset_converters/refer_to_json.py refcoco/refs(unc).p refcoco/instances.json refcoco_unc.json
"""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path
from typing import Any, NoReturn

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('refs', type=Path, help='refs(unc).p, refs(umd).p or refs(google).p')
    parser.add_argument('instances', type=Path, help='instances.json of the same data set')
    parser.add_argument('out', type=Path)
    args = parser.parse_args()
    try:
        refs = read_refs(args.refs)
        joined = join(refs, json.loads(args.instances.read_text(encoding='utf-8')))
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from None
    args.out.write_text(json.dumps(joined), encoding='utf-8')
    sentences = sum(len(annotation['sentences']) for annotation in joined['annotations'])
    print(f'{args.out}: {len(joined["images"])} images, {len(refs)} objects, {sentences} sentences')


if __name__ == '__main__':
    main()
