"""Label images of ScanNet's 20 and 40 classes and panoptic annotations, of the frames of the 2D benchmark.

    data/scannet/
        scannet_frames_25k/SCENE/{color,label,instance}/FRAME.*    as published
        scannetv2_val.txt                                          scenes of the split, as published

    python tools/dataset_converters/scannet.py data/scannet

adds labels_20/ and labels_40/, named like the frames (0 is void, 1 and more are classes), val_20.txt and val_40.txt
(pairs of image and label), and scannet_panoptic/ with scannet_panoptic.json in COCO's layout.

Frames that you exported from scans have folders label-filt and instance-filt with the raw ids of ScanNet instead; then
--label-map names scannetv2-labels.combined.tsv. Wall and floor become one segment of an image each, also where an
instance image has several, because they are stuff. Values outside of the 40 classes are void, as in the benchmark.
"""

from __future__ import annotations

import csv
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
from xdet.datasets.files.panoptic_files import categories_of
from xdet.datasets.sets.base import require_folder
from xdet.datasets.vocab import get_vocabulary
from xdet.io.writing import write_image, write_json, write_text
from xdet.structures.masks.boxes import mask_xywh
from xdet.structures.masks.panoptic import panoptic_pixels

FRAMES = 'scannet_frames_25k'
NYU_IDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
"""Ids among the 40 classes of NYU Depth v2 that the 20 classes have, in their order (ScanNet benchmark)."""
_NUM_NYU = 40
_PER_LABEL = 1000


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        root (Path): Folder of the data.
        scene (str): Its scene.
        name (str): Its number.
        label (Path): Label image.
        instance (Path): Instance image.
        nyu_of_id (np.ndarray, optional): NYU id by raw id, for images of raw ids.
    """

    root: Path
    scene: str
    name: str
    label: Path
    instance: Path
    nyu_of_id: np.ndarray | None = None


def read_label_map(path: Path) -> np.ndarray:
    """NYU id by raw id, from ScanNet's ``scannetv2-labels.combined.tsv``.

    Raises:
        ValueError: The file is not that.
    """
    with path.open(encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    try:
        pairs = [(int(row['id']), int(row['nyu40id'] or 0)) for row in rows]
        table = np.zeros(1 + max(raw for raw, _ in pairs), dtype=np.uint8)
    except (KeyError, TypeError, ValueError):
        raise ValueError(f'{path}: not the label map of ScanNet, which has columns id and nyu40id') from None
    for raw, nyu in pairs:
        table[raw] = nyu
    return table


def find_frames(root: Path, scene_list: Path, label_map: Path | None) -> dict[str, Frame]:
    """The frames of the listed scenes.

    Raises:
        FileNotFoundError: Scenes or annotations are missing.
        ValueError: The annotations have raw ids and there is no label map.
    """
    frames = require_folder(root / FRAMES, 'the frames of the 2D benchmark, scannet_frames_25k.zip')
    scenes = scene_list.read_text(encoding='utf-8').split()
    absent = [scene for scene in scenes if not (frames / scene / 'color').is_dir()]
    if absent:
        raise FileNotFoundError(
            f'{frames}: {len(absent)} of {len(scenes)} scenes are missing, the first is {absent[0]}'
        )
    suffix = '' if label_map is None else '-filt'
    nyu_of_id = None if label_map is None else read_label_map(label_map)
    found = {}
    for scene in scenes:
        if label_map is None and not (frames / scene / 'label').is_dir() and (frames / scene / 'label-filt').is_dir():
            raise ValueError(f'{frames / scene}: has raw ids (label-filt); name scannetv2-labels.combined.tsv')
        for image in sorted((frames / scene / 'color').glob('*.jpg')):
            files = [frames / scene / f'{kind}{suffix}' / f'{image.stem}.png' for kind in ('label', 'instance')]
            for file in files:
                if not file.is_file():
                    raise FileNotFoundError(f'{file}: annotation of {image} does not exist')
            found[f'{scene}/{image.stem}'] = Frame(root, scene, image.stem, *files, nyu_of_id)
    return found


def convert(frame: Frame) -> Record:
    """Write the three annotation images of a frame.

    Raises:
        ValueError: Sizes differ, or an image is no label image.
    """
    labels, instances = (_read(path) for path in (frame.label, frame.instance))
    with Image.open(frame.root / FRAMES / frame.scene / 'color' / f'{frame.name}.jpg') as image:
        size = image.size[::-1]
    for path, values in ((frame.label, labels), (frame.instance, instances)):
        if values.shape != size:
            raise ValueError(f'{path}: is {values.shape[1]}x{values.shape[0]} pixels but its frame {size[1]}x{size[0]}')
    if frame.nyu_of_id is not None:
        labels = frame.nyu_of_id[np.where(labels < len(frame.nyu_of_id), labels, 0)].astype(np.int64)
        instances = np.where(labels > 0, labels * _PER_LABEL + instances, 0)
    labels = np.where(labels <= _NUM_NYU, labels, 0)
    twenty = np.zeros(_NUM_NYU + 1, dtype=np.uint8)
    twenty[list(NYU_IDS)] = np.arange(1, len(NYU_IDS) + 1)
    ids, segments = panoptic(instances)
    panoptic_name = f'{frame.scene}__{frame.name}.png'
    files = {
        f'labels_20/{frame.scene}/color/{frame.name}.png': twenty[labels],
        f'labels_40/{frame.scene}/color/{frame.name}.png': labels.astype(np.uint8),
        f'scannet_panoptic/{panoptic_name}': panoptic_pixels(ids),
    }
    for name, pixels in files.items():
        write_image(frame.root / name, pixels)
    height, width = size
    return dict(files=list(files), height=height, width=width, file_name=panoptic_name, segments=segments)


def panoptic(instances: np.ndarray) -> tuple[np.ndarray, list[dict]]:
    """Segment ids and segments of an instance image of ScanNet (NYU id * 1000 + instance).

    Returns:
        tuple[np.ndarray, list[dict]]: Ids ``[H, W]``, 0 for void, and COCO's ``segments_info``; ``category_id`` is the
        NYU id.
    """
    category = np.where(instances >= _PER_LABEL, instances // _PER_LABEL, instances)
    stuff = [NYU_IDS[label] for label, thing in enumerate(get_vocabulary('scannet_20').is_thing) if not thing]
    ids = np.where(np.isin(category, stuff), category * _PER_LABEL, instances)
    ids = np.where(np.isin(category, NYU_IDS), ids, 0)
    segments = []
    for segment_id in np.unique(ids[ids > 0]).tolist():
        mask = ids == segment_id
        segments.append(
            dict(
                id=segment_id,
                category_id=segment_id // _PER_LABEL or segment_id,
                area=int(mask.sum()),
                bbox=mask_xywh(mask),
                iscrowd=0,
            )
        )
    return ids, segments


def finish(root: Path, split: str, records: dict[str, Record]) -> list[str]:
    """Write the lists of pairs and the panoptic annotation file."""
    categories = categories_of(get_vocabulary('scannet_20'), NYU_IDS)
    images, annotations = [], []
    for key, record in records.items():
        image_id, file_name = key.replace('/', '__'), f'{"/color/".join(key.split("/"))}.jpg'
        images.append(dict(id=image_id, file_name=file_name, height=record['height'], width=record['width']))
        annotations.append(dict(image_id=image_id, file_name=record['file_name'], segments_info=record['segments']))
    write_json(root / 'scannet_panoptic.json', dict(images=images, annotations=annotations, categories=categories))
    made = ['scannet_panoptic.json']
    names = [image['file_name'].removesuffix('.jpg') for image in images]
    for number in (20, 40):
        lines = [f'{FRAMES}/{name}.jpg labels_{number}/{name}.png\n' for name in names]
        write_text(root / f'{split}_{number}.txt', ''.join(lines))
        made.append(f'{split}_{number}.txt')
    return made


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        pixels = np.array(image)
    if pixels.ndim != 2 or pixels.dtype.kind not in 'uib':
        raise ValueError(f'{path}: not a label image (one channel of 8 or 16 bits)')
    return pixels.astype(np.int64)


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder that has scannet_frames_25k/')
    parser.add_argument('--scenes', type=Path, help='list of scenes (default: ROOT/scannetv2_val.txt)')
    parser.add_argument('--label-map', type=Path, help='scannetv2-labels.combined.tsv, for images of raw ids')
    add_arguments(parser)
    args = parser.parse_args()
    scenes = args.scenes or args.root / 'scannetv2_val.txt'
    split = scenes.stem.rsplit('_', 1)[-1]
    with one_line_errors('converting ScanNet', OSError, ValueError):
        frames = find_frames(args.root, scenes, args.label_map)
        run_conversion(args, args.root, f'scannet_{split}', frames, convert, partial(finish, args.root, split))


if __name__ == '__main__':
    sys.exit(run_program(main))
