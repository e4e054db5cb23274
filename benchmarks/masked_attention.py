"""How much the rewritten attention masks and the on-demand final masks save, in one run on one machine.

Compares, with the same weights and image size:

* decoder: masks of all queries at stride 4 in every layer, each resized to the level (the direct way, as the official
  code does) against resizing ``mask_features`` once per level (what xdet does);
* panoptic post-processing: resizing the masks of all queries against those that pass the class threshold.

Usage: python benchmarks/masked_attention.py [--model focal-t] [--height 800 --width 1216] [--out result.json]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope

from xdet.cli.places import output_file
from xdet.io.writing import write_text
from xdet.models import postprocess
from xdet.models.decoder import XDecoderTransformerDecoder
from xdet.models.decoder.queries import pack
from xdet.registry import MODELS
from xdet.structures import ImageFeatures

ROOT = Path(__file__).resolve().parents[1]


class DirectMasks(XDecoderTransformerDecoder):
    """Builds every attention mask from a full stride-4 mask, the way the formula is written."""

    def forward(self, features, groups):
        self.mask_features = features.mask_features
        return super().forward(features, groups)

    def _image_mask(self, prediction, level, queries, free):
        masks = torch.einsum('bqc,bchw->bqhw', prediction.mask_embed, self.mask_features)
        small = F.interpolate(masks, level.shape[-2:], mode='bicubic', align_corners=False, antialias=True)
        allowed = small.flatten(2).sigmoid() >= 0.5
        allowed |= ~allowed.any(dim=-1, keepdim=True)
        return allowed


def compare(direct, ours, repeats: int) -> tuple[float, float]:
    """Best time of each of two calls, run in turn so that other load on the machine meets both."""
    best = [float('inf')] * 2
    for _ in range(repeats + 1):
        for index, run in enumerate((direct, ours)):
            start = time.perf_counter()
            run()
            best[index] = min(best[index], time.perf_counter() - start)
    return best[0], best[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='focal-t', help='a file of configs/_base_/models')
    parser.add_argument('--height', type=int, default=800, help='padded input height')
    parser.add_argument('--width', type=int, default=1216, help='padded input width')
    parser.add_argument('--kept', type=int, default=10, help='queries that pass the panoptic class threshold')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=output_file, help='where to write the result as JSON')
    args = parser.parse_args()

    init_default_scope('xdet')
    torch.manual_seed(0)
    config = Config.fromfile(ROOT / 'configs/_base_/models' / f'{args.model}.py').model.decoder
    ours = MODELS.build(config).eval()
    direct = DirectMasks(**{key: value for key, value in config.items() if key != 'type'}).eval()
    direct.load_state_dict(ours.state_dict())
    channels = config.embed_dims

    def draw(stride):
        return torch.randn(1, channels, args.height // stride, args.width // stride)

    features = ImageFeatures((), draw(4), (draw(32), draw(16), draw(8)))
    groups = ours.latent_queries(1)
    result = dict(model=args.model, size=[args.height, args.width], threads=torch.get_num_threads())
    with torch.no_grad():
        output = ours(features, groups).last
        level, queries = F.avg_pool2d(features.mask_features, 8), pack(groups)
        direct.mask_features = features.mask_features
        small = F.interpolate(
            features.mask_features, level.shape[-2:], mode='bicubic', align_corners=False, antialias=True
        )
        free = torch.empty(1, 0, level.shape[-2] * level.shape[-1], dtype=torch.bool)
        same = ours._image_mask(output, small, queries, free) == direct._image_mask(output, level, queries, free)
        result['equal_mask_entries'] = round(same.float().mean().item(), 6)
        result['decoder_direct_s'], result['decoder_xdet_s'] = compare(
            lambda: direct(features, groups), lambda: ours(features, groups), args.repeats
        )

        size = (args.height, args.width)
        logits = torch.zeros(config.num_queries, 134)
        logits[:, -1] = 9.0
        logits[: args.kept] = 0.0
        logits[torch.arange(args.kept), torch.arange(args.kept)] = 12.0

        def masks(queries):
            return postprocess.mask_logits(output.mask_embed[0][queries], features.mask_features[0], size, size)

        def all_masks():
            every = masks(slice(None))
            return postprocess.panoptic_segments(logits, lambda queries: every[queries], size, [True] * 133)

        result['panoptic_direct_s'], result['panoptic_xdet_s'] = compare(
            all_masks, lambda: postprocess.panoptic_segments(logits, masks, size, [True] * 133), args.repeats
        )
    for part in ('decoder', 'panoptic'):
        result[f'{part}_ratio'] = round(result[f'{part}_direct_s'] / result[f'{part}_xdet_s'], 2)
    text = json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()})
    print(text)
    if args.out:
        write_text(args.out, text + '\n')


if __name__ == '__main__':
    main()
