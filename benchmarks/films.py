"""Identities, VPQ and STQ on films of the generated world, and frames per second against single images.

python benchmarks/films.py --films 20 --frames 40
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from xdet.apis import XDecoderInferencer
from xdet.evaluation.film_quality import FilmQuality
from xdet.scenes.description import VOCABULARY
from xdet.scenes.films import sample_film


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--films', type=int, default=20)
    parser.add_argument('--frames', type=int, default=40)
    parser.add_argument('--size', type=int, default=128, help='pixels a side')
    parser.add_argument('--speed', type=float, default=1.0, help='factor of all speeds')
    parser.add_argument('--memory', type=int, default=60)
    args = parser.parse_args()
    model = XDecoderInferencer('scenes', device='cpu')
    names = {name: label for label, name in enumerate(VOCABULARY.names)}
    quality, single, seconds = FilmQuality(VOCABULARY), FilmQuality(VOCABULARY, (1,)), 0.0
    for index in range(args.films):
        drawn = list(sample_film('test', 1, index, args.frames, args.speed).render(args.size))
        results = model.video([frame.image for frame in drawn], memory=args.memory)
        for truth in drawn:
            start = time.perf_counter()
            found = next(results)
            seconds += time.perf_counter() - start
            tracks = np.zeros(found.size, np.int64)
            rows = found.prediction['segments']
            for mask, row in zip(found.masks, rows, strict=True):
                tracks[mask] = row['track']
            segments = [dict(id=row['track'], label=row['label']) for row in rows]
            quality.add(truth.segment_map, truth.segments_info, tracks, segments)
            alone = [dict(id=row['track'], label=names[row.get('seen_as', row['name'])]) for row in rows]
            single.add(truth.segment_map, truth.segments_info, tracks, alone)
        quality.end_film()
        single.end_film()
    start = time.perf_counter()
    for frame in drawn:
        model(frame.image)
    rate = len(drawn) / (time.perf_counter() - start)
    result = quality.result()
    print(' | '.join(f'{name} {value:.2f}' for name, value in result.items()))
    print(f'with the names of single images: PQ {single.result()["PQ"]:.2f}')
    print(f'frames per second: film {args.films * args.frames / seconds:.2f}, single images {rate:.2f}')


if __name__ == '__main__':
    main()
