"""How many clicks objects need: NoC and mIoU of the task ``interactive`` on photographs and on generated scenes.

    python benchmarks/interactive.py data/photos/voc_animals --skip 126 --images 12 --trained clicks.safetensors

Every object with at least 100 pixels is clicked on by ``xdet.evaluation.interactive.next_click``. Objects that never
reach the IoU count in NoC with all clicks they got. Boxes are tight around the objects, scribbles their middle lines.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from xdet.apis import XDecoderInferencer
from xdet.evaluation.interactive import click_curve, number_of_clicks
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene
from xdet.structures.masks.panoptic import panoptic_ids

LEAST_AREA = 100
TRAINED = 'xdecoder_lite0-nano_interactive-photos'
Pictures = Iterator[tuple[Any, list[np.ndarray]]]


def photographs(root: Path, skip: int, count: int) -> Pictures:
    """Validation files and the masks of their objects."""
    content = json.loads((root / 'panoptic_val.json').read_text())
    images = {image['id']: image for image in content['images']}
    for entry in content['annotations'][skip : skip + count]:
        colours = np.asarray(Image.open(root / 'panoptic/val' / entry['file_name']).convert('RGB'))
        ids = panoptic_ids(colours)
        masks = [ids == segment['id'] for segment in entry['segments_info'] if not segment['iscrowd']]
        yield str(root / 'images/val' / images[entry['image_id']]['file_name']), masks


def scenes(skip: int, count: int, size: int = 128) -> Pictures:
    """Held-out scenes and the masks of their things."""
    for index in range(skip, skip + count):
        rendered = render_scene(sample_scene('test', 0, index), size)
        things = [info['id'] for info in rendered.segments_info if info['is_thing']]
        yield rendered.image, [rendered.segment_map == number for number in things]


def middle_line(mask: np.ndarray) -> np.ndarray:
    """A scribble: pixels that are farther from the edge of the mask than all neighbours in their row or column."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ridge = np.zeros_like(mask)
    for axis in (0, 1):
        before, after = (np.roll(depth, by, axis)[1:-1, 1:-1] for by in (1, -1))
        ridge |= (depth[1:-1, 1:-1] > before) & (depth[1:-1, 1:-1] >= after)
    return ridge & (depth[1:-1, 1:-1] >= 0.5 * depth.max())


def measure(model: XDecoderInferencer, pictures: Pictures, clicks: int) -> dict[str, float]:
    """Percent and clicks."""
    curves: list[list[float]] = []
    others: dict[str, list[float]] = dict(box=[], scribble=[])
    for picture, masks in pictures:
        image = model.set_image(picture)
        for mask in (mask for mask in masks if mask.sum() >= LEAST_AREA):

            def found(image: Any = image, **prompts: Any) -> np.ndarray:
                asked = model.predict('interactive', image, return_datasamples=True, **prompts)
                best: np.ndarray = asked['predictions'][0].pred_objects.masks[0].numpy()
                return best

            curves.append(click_curve(lambda given: found(points=[list(click) for click in given]), mask, clicks))
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            for name, prompts in dict(box=dict(boxes=[box]), scribble=dict(masks=middle_line(mask)[None])).items():
                answer = found(**prompts)
                others[name].append(float((answer & mask).sum() / (answer | mask).sum()))
    table = np.asarray(curves)
    result = dict(objects=float(len(table)))
    result |= {f'mIoU@{count}': 100 * float(table[:, count - 1].mean()) for count in (1, 3, 5) if count <= clicks}
    for share in (85, 90):
        result[f'NoC@{share}'], never = number_of_clicks(curves, share / 100)
        result[f'never {share}'] = 100 * never
    return result | {f'mIoU of a {name}': 100 * float(np.mean(values)) for name, values in others.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder with panoptic_val.json')
    parser.add_argument('--images', type=int, default=100)
    parser.add_argument('--scenes', type=int, default=60)
    parser.add_argument('--skip', type=int, default=0, help='images, or scenes, to leave out first')
    parser.add_argument('--clicks', type=int, default=20)
    parser.add_argument('--models', nargs='+', default=['photos', 'scenes'], help='embedded models, or none')
    parser.add_argument('--trained', type=Path, help=f'weights of {TRAINED}, measured as well')
    args = parser.parse_args()
    models = {name: (name, None) for name in args.models if name != 'none'}
    if args.trained:
        models['photos, trained'] = (TRAINED, args.trained)
    head = False
    for name, (config, weights) in models.items():
        model = XDecoderInferencer(config, weights, device='cpu')
        make = scenes(args.skip, args.scenes) if name == 'scenes' else photographs(args.root, args.skip, args.images)
        row = measure(model, make, args.clicks)
        if not head:
            print(f'| model | {" | ".join(row)} |\n|---{"|---" * len(row)}|')
            head = True
        print(f'| {name} | {" | ".join(f"{value:.1f}" for value in row.values())} |', flush=True)


if __name__ == '__main__':
    main()
