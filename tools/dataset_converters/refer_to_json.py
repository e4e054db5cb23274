"""Join the files of the REFER data sets (RefCOCO, RefCOCO+, RefCOCOg) into one JSON file in COCO's layout.

REFER keeps expressions in a pickle, refs(unc).p or refs(umd).p, beside instances.json; gRefCOCO, whose expressions
mean several objects or none, in grefs(unc).json. A pickle may run any program when it is opened. So it is read here
with an unpickler that refuses everything but plain lists, dicts, texts and numbers, which is all that the real files
hold.

The result has, per expression, the annotation of instances.json with ref_id, split and sentences; of several objects
the union of their outlines, of none an empty outline and no_target, which the data sets leave out. It is the layout of
the official grounding_train2017_*.json and refcocog_umd_val.json, which RefCocoDataset and CocoJointDataset read. How
much there is of every split is printed; the numbers published for it are in configs/benchmarks/refcoco-splits.py.

Usage: python tools/dataset_converters/refer_to_json.py refcoco/refs(unc).p refcoco/instances.json refcoco_unc.json
"""

from __future__ import annotations

import io
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pycocotools import mask as mask_util

from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.datasets.files.coco_json import index_images, load_coco_json
from xdet.datasets.files.conversion import Record, add_arguments, run_conversion
from xdet.datasets.files.outlines import rasterize, read_outline
from xdet.io.errors import cause
from xdet.io.reading import parse_json, read_bytes
from xdet.io.schema import ID, checked, require, shown
from xdet.io.terminal import tell
from xdet.io.writing import write_json
from xdet.structures.masks.codes import as_plain

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
    """Expressions of a REFER pickle, or of a JSON file of the same content.

    Raises:
        ValueError: The file is neither, or holds more than plain data.
    """
    data = read_bytes(path)
    if path.suffix.lower() == '.json' or data.lstrip()[:1] in (b'[', b'{'):
        refs = parse_json(data, str(path))
    else:
        try:
            # Python 2 wrote these files; texts are ASCII or, in a few sentences, Latin-1.
            refs = PlainUnpickler(io.BytesIO(data), encoding='latin1').load()
        except Exception as error:  # a damaged pickle shows by exceptions of any type
            raise ValueError(f'{path}: cannot be read safely ({cause(error)})') from None
    if not isinstance(refs, list) or not all(isinstance(ref, dict) and 'ann_id' in ref for ref in refs):
        raise ValueError(f'{path}: not a list of referring expressions')
    return refs


def join(refs: list[dict], instances: dict, refs_name: str = 'refs', instances_name: str = 'instances') -> dict:
    """Images and annotations that expressions refer to.

    An expression for several objects becomes one annotation with the union of their outlines; one for nothing keeps
    its sentences with an empty outline and ``no_target``.

    Raises:
        ValueError: An expression refers to an object or image that is not listed, or an entry is damaged.
    """
    images = index_images(instances_name, instances)
    annotations: dict[int | str, dict] = {}
    for position, annotation in enumerate(instances['annotations']):
        number = require(annotation, 'id', ID, f'{instances_name}: annotation {position} (counted from 0)')
        if annotations.setdefault(number, annotation) is not annotation:
            raise ValueError(f'{instances_name}: the annotation id {shown(number)} appears more than once')
    joined = []
    for position, ref in enumerate(refs):
        where = f'{refs_name}: expression {shown(ref.get("ref_id", position))}'
        objects = []
        for number in _targets(ref, where):
            if number not in annotations:
                raise ValueError(f'{where} refers to annotation {shown(number)}, which is not listed')
            objects.append(annotations[number])
        kept = dict(
            ann_id=ref['ann_id'],
            ref_id=require(ref, 'ref_id', ID, where),
            split=require(ref, 'split', str, where),
            sentences=require(ref, 'sentences', list, where),
        )
        if len(objects) == 1:
            of_object = require(objects[0], 'image_id', ID, f'{instances_name}: annotation {objects[0]["id"]}')
            if require(ref, 'image_id', ID, where, of_object) != of_object:
                raise ValueError(f'{where} is of image {shown(ref["image_id"])}, its object of {shown(of_object)}')
            joined.append({key: objects[0][key] for key in KEPT if key in objects[0]} | kept)
            continue
        image_id = require(ref, 'image_id', ID, where)
        if image_id not in images or any(found.get('image_id') != image_id for found in objects):
            raise ValueError(f'{where} refers to an image or to objects of another image than {image_id}')
        size = (images[image_id]['height'], images[image_id]['width'])
        joined.append(_union(objects, image_id, size, where) | kept)
    used = {annotation['image_id'] for annotation in joined}
    listed_images = [image for image in instances['images'] if image['id'] in used]
    return dict(images=listed_images, annotations=joined, categories=instances.get('categories', []))


def _targets(ref: dict, where: str) -> list[int | str]:
    """Ids of the objects of an expression; none where gRefCOCO says ``no_target`` or -1."""
    numbers = ref['ann_id'] if isinstance(ref['ann_id'], (list, tuple)) else [ref['ann_id']]
    numbers = [checked(number, ID, f"{where}: 'ann_id'") for number in numbers]
    return [number for number in numbers if number != -1 and not ref.get('no_target')]


def _union(objects: list[dict], image_id: int | str, size: tuple[int, int], where: str) -> dict:
    outlines = [read_outline(found.get('segmentation'), size, where) for found in objects]
    rles = [rasterize(outline, size) for outline in outlines if outline is not None]
    if not rles:
        return dict(image_id=image_id, segmentation=[], area=0, bbox=[0, 0, 0, 0], iscrowd=0, no_target=True)
    union = mask_util.merge(rles)
    return dict(
        image_id=image_id,
        segmentation=as_plain(union),
        area=int(mask_util.area(union)),
        bbox=mask_util.toBbox(union).tolist(),
        iscrowd=0,
    )


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
    instances = load_coco_json(str(job.instances), keys=('images', 'annotations'))
    joined = join(read_refs(job.refs), instances, str(job.refs), str(job.instances))
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
            tell(f'{name}, {split}: {", ".join(f"{number} {what}" for what, number in counts.items())}')
    return []


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('refs', type=Path, help='refs(unc).p, refs(umd).p, refs(google).p or grefs(unc).json')
    parser.add_argument('instances', type=Path, help='instances.json of the same data set')
    parser.add_argument('out', type=output_file)
    add_arguments(parser)
    args = parser.parse_args()
    job = Job(args.refs, args.instances, args.out)
    with one_line_errors('converting referring expressions', OSError, ValueError):
        run_conversion(args, args.out.parent, args.out.stem, {args.out.name: job}, convert, report)


if __name__ == '__main__':
    sys.exit(run_program(main))
