"""How memory grows with the number of images of a stream.

    python benchmarks/stream_memory.py --images 10000

The images are files of 64x64 pixels. All of the way is real, reading, resizing, run-length encoding, drawing and
writing, but for the network: the first image's prediction is repeated, so that 10,000 images take minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from process_memory import memory

from xdet.apis import XDecoderInferencer
from xdet.cli.places import output_file
from xdet.io.writing import write_json


def main() -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=10000)
    parser.add_argument('--model', default='scenes')
    parser.add_argument('--no-save-vis', action='store_true', help='do not draw, which is most of the time')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args()
    inferencer = XDecoderInferencer(args.model, device='cpu')
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'images').mkdir()
        random = np.random.default_rng(0)
        for index in range(args.images):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((64, 64)).save(Path(folder, 'images', f'{index:07}.png'), compress_level=1)
        step, known = inferencer.model.test_step, []

        def repeated(data: dict) -> list:
            if not known:
                known.extend(step(data))
            return [known[0].clone() for _ in data['inputs']]

        inferencer.model.test_step = repeated
        series, start = [], time.perf_counter()
        items = inferencer.stream(
            Path(folder, 'images'), out_dir=Path(folder, 'out'), batch_size=4, no_save_vis=args.no_save_vis
        )
        for item in items:
            if item.index in (10, 100) or (item.index + 1) % 1000 == 0:
                series.append((item.index + 1, round(memory(), 1)))
                print(f'{item.index + 1:>8} images {memory():>8.1f} MB', flush=True)
        seconds = time.perf_counter() - start
    result = dict(images=args.images, series=series, growth_mb=round(series[-1][1] - series[0][1], 1))
    result['seconds'] = round(seconds, 1)
    print(json.dumps(result))
    if args.out:
        write_json(args.out, result, indent=2)


if __name__ == '__main__':
    main()
