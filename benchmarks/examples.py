"""Names learned from regions against names by their text: mIoU of photographs with one and five examples per class.

    python benchmarks/examples.py data/photos/voc_animals --images 100

The model was trained with these classes, so this says how much of what a name tells a region tells, not how well
classes are learned that training never had.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xdet.apis import XDecoderInferencer
from xdet.inference.names.examples import ExampleError
from xdet.structures import Vocabulary
from xdet.structures.masks.panoptic import panoptic_ids

LEAST_SHARE = 0.05  # of the image, for objects that serve as examples


def annotated(root: Path, split: str) -> Iterator[tuple[Path, np.ndarray, list[dict[str, Any]]]]:
    """Image file, map of segment ids and segments of every photograph, in the order of the file."""
    content = json.loads((root / f'panoptic_{split}.json').read_text())
    images = {image['id']: image for image in content['images']}
    for entry in content['annotations']:
        colours = np.asarray(Image.open(root / 'panoptic' / split / entry['file_name']).convert('RGB'))
        ids = panoptic_ids(colours)
        yield root / 'images' / split / images[entry['image_id']]['file_name'], ids, entry['segments_info']


def references(root: Path, count: int) -> dict[int, list[tuple[Path, list[float]]]]:
    """By class, the first training photographs with a large object of it, and the box of that object."""
    found: dict[int, list[tuple[Path, list[float]]]] = defaultdict(list)
    for path, ids, segments in annotated(root, 'train'):
        for segment in sorted(segments, key=lambda segment: -segment['area']):
            own = found[segment['category_id']]
            large = segment['area'] >= LEAST_SHARE * ids.size and not segment['iscrowd']
            if large and len(own) < count and all(path != other for other, _ in own):
                x, y, width, height = segment['bbox']
                own.append((path, [x, y, x + width, y + height]))
    return found


def learn(model: XDecoderInferencer, names: dict[int, str], regions: Any, count: int, suffix: str) -> tuple[list, int]:
    """Names that stand for ``count`` examples each, and how many regions the model saw no object in."""
    learned, refused = [], 0
    for category, name in names.items():
        rows = []
        for path, box in regions[category]:
            if len(rows) == count:
                break
            try:
                rows.append(model.learn_example(f'{name} {suffix}', str(path), boxes=[box]).rows[f'{name} {suffix}'])
            except ExampleError:
                refused += 1
        if rows:
            mean = sum(rows)
            model.model.vocabulary.learn({f'{name} {suffix}': mean / mean.norm()})
        learned.append(f'{name} {suffix}')
    return learned, refused


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder with panoptic_{train,val}.json')
    parser.add_argument('--images', type=int, default=100)
    parser.add_argument('--model', default='photos')
    args = parser.parse_args()
    model = XDecoderInferencer(args.model, device='cpu')
    categories = json.loads((args.root / 'panoptic_val.json').read_text())['categories']
    names = {category['id']: category['name'] for category in categories}
    regions = references(args.root, 8)
    ways: dict[str, list[str]] = dict(names=list(names.values()))
    for count in (1, 5):
        ways[f'{count} example(s)'], refused = learn(model, names, regions, count, f'by {count}')
        print(f'{count} example(s): {refused} regions left out, in which the model sees no object', flush=True)
    vocabularies = {way: Vocabulary(tuple(texts), (True,) * len(texts)) for way, texts in ways.items()}
    size = len(names)
    counts = {way: np.zeros((size, size), np.int64) for way in ways}
    for number, (path, ids, segments) in enumerate(annotated(args.root, 'val')):
        if number == args.images:
            break
        true = np.full(ids.shape, -1)
        for segment in segments:
            true[ids == segment['id']] = list(names).index(segment['category_id'])
        image = model.set_image(str(path))
        for way, vocabulary in vocabularies.items():
            found = model.predict('semantic', image, vocabulary=vocabulary, return_datasamples=True)['predictions'][0]
            labels = found.pred_sem_seg.sem_seg[0].numpy()
            known = (true >= 0) & (labels >= 0)
            counts[way] += np.bincount(true[known] * size + labels[known], minlength=size * size).reshape(size, size)
    print('| classes by | mIoU | pixels right |\n|---|---|---|')
    for way, table in counts.items():
        present = table.sum(1) > 0
        iou = table.diagonal()[present] / (table.sum(0) + table.sum(1) - table.diagonal())[present]
        print(f'| {way} | {100 * iou.mean():.1f} | {100 * table.diagonal().sum() / table.sum():.1f} |')


if __name__ == '__main__':
    main()
