"""Captioning: one token at a time with cached keys and values, against the official way.

    python benchmarks/captioning.py --out captioning.json

The official way runs the whole text encoder (77 tokens) and the whole decoder once per token, 50 times, whether or not
the caption has ended. Both ways are run here with the same modules, weights (untrained) and image, so the ratio is what
the procedure saves; the official modules are slower still (their masked attention, see masked_attention.py). The tokens
of both ways are compared. Ratios are for the decoding alone and with the encoding of the image.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

import xdet  # noqa: F401
from xdet.cli.places import output_file
from xdet.compat.quiet import quiet_imports
from xdet.io.writing import write_json

with quiet_imports():
    from xdet.models.context import LatentPass, TaskContext
    from xdet.models.decoder import IMAGE, OBJECT
    from xdet.models.text import START_TOKEN
    from xdet.registry import MODELS
    from xdet.structures import ImageFeatures, QueryGroup, XDetDataSample
    from xdet.tasks import CaptioningTask
    from xdet.tasks.generation import GenerationSettings, generate

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
OFFICIAL_STEPS = 50


def official_way(model, features: ImageFeatures, batch: int) -> Tensor:
    """Token ids ``[B, 50]``, everything from scratch for every token."""
    task: CaptioningTask = model.tasks['captioning']
    ids = torch.full((batch, 77), START_TOKEN)
    sees = frozenset({OBJECT, IMAGE, 'caption'})
    for step in range(OFFICIAL_STEPS):
        tokens = model.text_encoder(ids).tokens
        position = tokens + task.position_embed.weight
        group = QueryGroup('caption', tokens, position, sees, causal=True, image_attention='all')
        output = model.decoder(features, [*model.decoder.latent_queries(batch), group]).last
        state = output.rows(output.state, 'caption')[:, step]
        ids[:, step + 1] = (state @ task.token_proj @ model.text_encoder.token_embedding.weight.T).argmax(-1)
    return ids[:, 1 : OFFICIAL_STEPS + 1]


def cached(model, features: ImageFeatures, batch: int, tokens: int) -> Tensor:
    """Token ids ``[B, tokens]`` as xdet generates them."""
    from xdet.tasks.captioning import CaptionWriter

    samples = [XDetDataSample() for _ in range(batch)]
    context = TaskContext(LatentPass(model.decoder, features), samples, model.text_encoder, model.texts)
    settings = GenerationSettings(max_tokens=tokens)
    writer = CaptionWriter(model.tasks['captioning'], [context], settings, 1, None)
    texts = generate(writer, batch, settings, features.mask_features.device)
    return torch.tensor([text[0].ids for text in texts])


def seconds(function: Callable[[], object], repeats: int) -> tuple[float, object]:
    """Least time of several runs, and the last result."""
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


@torch.no_grad()
def measure(model_name: str, height: int, width: int, batch: int, repeats: int) -> dict:
    """Times of both ways and their ratios."""
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(CONFIGS / '_base_' / 'models' / f'{model_name}.py').model).eval()
    for name in ('query_feat', 'query_embed'):
        torch.nn.init.normal_(getattr(model.decoder, name).weight)
    torch.nn.init.normal_(model.tasks['captioning'].position_embed.weight)
    inputs = torch.randn(batch, 3, height, width)
    encoding, features = seconds(lambda: model.encode(inputs), repeats)
    slow, expected = seconds(lambda: official_way(model, features, batch), 1)
    result = dict(
        model=model_name,
        image=f'{height}x{width}',
        batch=batch,
        threads=torch.get_num_threads(),
        encoding_s=round(encoding, 3),
        official_way_s=round(slow, 2),
    )
    for tokens in (OFFICIAL_STEPS, 12):
        fast, found = seconds(lambda tokens=tokens: cached(model, features, batch, tokens), repeats)
        result[f'{tokens}_tokens'] = dict(
            decoding_s=round(fast, 3),
            decoding_ratio=round(slow / fast, 1),
            end_to_end_ratio=round((encoding + slow) / (encoding + fast), 1),
            same_tokens=bool((found == expected[:, :tokens]).all()),
        )
    return result


def main() -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='focal-t', help='file in configs/_base_/models')
    parser.add_argument('--height', type=int, default=224)
    parser.add_argument('--width', type=int, default=352, help='multiple of 32 (default: 336 padded)')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=3, help='the best of so many runs counts')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args()
    init_default_scope('xdet')
    result = measure(args.model, args.height, args.width, args.batch_size, args.repeats)
    print(json.dumps(result, indent=2))
    if args.out:
        write_json(args.out, result, indent=2)


if __name__ == '__main__':
    main()
