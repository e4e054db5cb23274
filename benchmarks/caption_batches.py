"""Captions of many images: one by one, side by side, and side by side in half precision.

    python benchmarks/caption_batches.py --photos data/photos/voc_animals/images/val
    python benchmarks/caption_batches.py --model xdecoder_focal-t --random-weights --tokens 12 --limit 8

Photographs keep their shapes, so most of a batch differ in size. Times are those of one thread's processor, from pixels
to texts; the ways take turns, image encoding is part of all. Texts and scores are compared with those of one by one.
"""

from __future__ import annotations

import argparse
import json
import math
import time

import torch

from xdet.apis import XDecoderInferencer
from xdet.cli.places import output_file
from xdet.inference.inputs.images import expand_images
from xdet.io.writing import write_json


def main() -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', help='config (default: the model that comes with the package)')
    parser.add_argument('--random-weights', action='store_true', help='of a seed')
    parser.add_argument('--photos', default='demo/photos', help='folder of images')
    parser.add_argument('--limit', type=int, default=60, help='most images')
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--tokens', type=int, default=50, help='longest text')
    parser.add_argument('--repeats', type=int, default=1, help='the best of so many runs counts')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inferencer = XDecoderInferencer(args.model, device='cpu', random_weights=args.random_weights)
    task = inferencer.model.tasks['captioning']
    if args.random_weights:
        for parameter in inferencer.model.parameters():
            if parameter.dim() > 1:  # larger than untrained ones, with which all images look alike
                torch.nn.init.normal_(parameter, std=1 / math.sqrt(parameter[0].numel()))
    images = [source.image for source in expand_images(args.photos)[0]][: args.limit]
    ways = {
        'one by one': (1, None),
        f'batches of {args.batch_size}': (args.batch_size, None),
        f'batches of {args.batch_size}, bfloat16': (args.batch_size, torch.bfloat16),
    }
    inferencer(images[0], task='caption', max_tokens=2)
    rows: dict[str, dict] = {way: dict(s_per_image=math.inf) for way in ways}
    texts: dict[str, list[dict]] = {}
    for _ in range(args.repeats):
        for way, (batch, precision) in ways.items():
            task.stream_precision = precision
            start = time.process_time()
            found = inferencer(images, task='caption', batch_size=batch, max_tokens=args.tokens)['predictions']
            rows[way]['s_per_image'] = min(rows[way]['s_per_image'], (time.process_time() - start) / len(images))
            texts[way] = [row['captions'][0] for row in found]
    for way, row in rows.items():
        pairs = list(zip(texts['one by one'], texts[way], strict=True))
        row['same_texts'] = sum(one['text'] == other['text'] for one, other in pairs)
        row['score_difference'] = max(abs(one['score'] - other['score']) for one, other in pairs)
        row['words'] = sum(len(other['text'].split()) for _, other in pairs) / len(pairs)
    result = dict(model=args.model or 'default', images=len(images), tokens=args.tokens, ways=rows)
    print(json.dumps(result, indent=2))
    if args.out:
        write_json(args.out, result, indent=2)


if __name__ == '__main__':
    main()
