"""What several tasks on one image save: one encoding and one pass over the latent queries for all of them.

    python benchmarks/shared_encoding.py --out shared_encoding.json

Every task is run alone (encode, decode, read out) and on an image that was encoded before and has been asked one other
question. Untrained weights, one random image.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from xdet.apis import XDecoderInferencer
from xdet.cli.places import output_file
from xdet.io.writing import write_json

REQUESTS = {
    'panoptic': dict(classes='dog . cat . grass'),
    'classification': dict(classes='street . beach . kitchen'),
    'caption': dict(max_tokens=10),
    'refseg': dict(phrases=['the red car']),
}


def measure(inferencer: XDecoderInferencer, image: np.ndarray, repeats: int) -> dict[str, dict[str, float]]:
    """Least seconds of every task, alone and on the shared encoding."""
    result = {}
    for task, prompts in REQUESTS.items():
        times: dict[str, list[float]] = dict(alone_s=[], shared_s=[])
        for _ in range(repeats):
            start = time.perf_counter()
            inferencer.set_image(image)
            inferencer.predict(task, **prompts)
            times['alone_s'].append(time.perf_counter() - start)
            inferencer.set_image(image)
            inferencer.predict('caption', max_tokens=1)
            start = time.perf_counter()
            inferencer.predict(task, **prompts)
            times['shared_s'].append(time.perf_counter() - start)
        result[task] = {key: round(min(values), 3) for key, values in times.items()}
    return result


def main() -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='xdecoder_focal-t', help='name of a shipped config')
    parser.add_argument('--height', type=int, default=512)
    parser.add_argument('--width', type=int, default=800)
    parser.add_argument('--repeats', type=int, default=2, help='the best of so many runs counts')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args()
    image = np.random.default_rng(0).integers(0, 256, (args.height, args.width, 3), dtype=np.uint8)
    inferencer = XDecoderInferencer(args.model, random_weights=True)
    result = dict(model=args.model, size=f'{args.height}x{args.width}', **measure(inferencer, image, args.repeats))
    print(json.dumps(result, indent=2))
    if args.out:
        write_json(args.out, result, indent=2)


if __name__ == '__main__':
    main()
