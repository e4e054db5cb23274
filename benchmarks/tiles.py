"""Scenes in tiles against the same scenes at once: panoptic quality, and things on seams.

python benchmarks/tiles.py --scenes 40 --size 256 --tiles 160,64
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch

from xdet.apis import XDecoderInferencer, decode_mask
from xdet.evaluation.panoptic_quality import ClassCounts, match_segments, summarise
from xdet.inference.tiling.cutting import Tiles
from xdet.scenes.description import VOCABULARY
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene


def main() -> None:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scenes', type=int, default=40)
    parser.add_argument('--size', type=int, default=256, help='pixels a side')
    parser.add_argument('--tiles', default='160,64')
    parser.add_argument('--shrink', type=float, default=0.62, help='things of the scenes are drawn so much smaller')
    args = parser.parse_args()
    model = XDecoderInferencer('scenes', device='cpu')
    for tiles in (None, args.tiles, f'{args.size // 2},0'):
        seams = [span.core for span in Tiles.of(args.tiles if tiles is None else tiles).spans(args.size)][1:]
        total = {label: ClassCounts() for label in range(len(VOCABULARY))}
        crossing = whole = split = 0
        for index in range(args.scenes):
            scene = sample_scene('test', 2, index)
            things = tuple(replace(item, size=round(args.shrink * item.size, 4)) for item in scene.objects)
            truth = render_scene(replace(scene, objects=things), args.size)
            segments = model(truth.image, tiles=tiles)['predictions'][0]['segments']
            found = np.zeros(truth.segment_map.shape, np.int64)
            for row in segments:
                found[decode_mask(row['segmentation'])] = row['id']
            numbers = torch.from_numpy(truth.segment_map.astype(np.int64))
            for label, counts in match_segments(
                numbers, truth.segments_info, torch.from_numpy(found), segments
            ).items():
                total[label] += counts
            for info in truth.segments_info:
                mask = truth.segment_map == info['id']
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                if not info['is_thing'] or not any(
                    line[0] < seam <= line[-1] for seam in seams for line in (rows, columns)
                ):
                    continue
                crossing += 1
                ids, areas = np.unique(found[mask], return_counts=True)
                best = ids[areas.argmax()]
                whole += bool(best and areas.max() / (mask | (found == best)).sum() > 0.5)
                things_found = {row['id'] for row in segments if row['is_thing']}
                parts = [
                    number
                    for number, area in zip(ids.tolist(), areas.tolist(), strict=True)
                    if number in things_found and area > 0.1 * mask.sum() and (found == number).sum() < 2 * area
                ]
                split += len(parts) > 1
        way = 'at once' if tiles is None else f'tiles {tiles}'
        summary = ', '.join(f'{name} {value:.1f}' for name, value in summarise(total, VOCABULARY).items())
        print(f'{way}: {summary}; of {crossing} things on seams {whole} found whole, {split} in parts', flush=True)


if __name__ == '__main__':
    main()
