"""Teach a pixel decoder to pass on what the backbone knows of names, before the joint training.

    python tools/misc/warm_up_pixels.py CONFIG start.safetensors warm.safetensors --minutes 3

Images of the training set are encoded once. Then the part of the pixel decoder between the deepest map of the backbone
and the coarsest memory learns from those maps alone: by the loss of the config's `PixelNames`, and to go on saying what
it said before, so that the decoder still understands it. A step takes a small part of a step of the whole training.
With --only-heads the pixel decoder stays as it is: for weights that are trained already.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn

from xdet.analysis.subject import import_components
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.places import output_file
from xdet.cli.running import run_program
from xdet.compat.checkpoint import save_weights
from xdet.compat.fitting import load_weights
from xdet.datasets.order.seeding import Draw
from xdet.io.terminal import progress, tell
from xdet.model_zoo import find_config
from xdet.models import XDecoder
from xdet.models.losses import SegmentTargets
from xdet.models.pixel_names import PixelNames
from xdet.registry import DATASETS, MODELS
from xdet.structures import ImageFeatures, Vocabulary
from xdet.structures.known_words import KEY as KNOWN_WORDS


@dataclass(frozen=True)
class Encoded:
    """An image as the pixel decoder gets it: deepest map, coarsest memory of before, and segments on its pixels."""

    deepest: Tensor
    memory: Tensor
    segments: InstanceData
    vocabulary: Vocabulary


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='path of the config to train, or the name of a shipped one')
    parser.add_argument('weights', help='weights to start from; they may lack those of PixelNames')
    parser.add_argument('target', type=output_file, help='file to write (.safetensors)')
    parser.add_argument(
        '--sources', nargs='*', help='which sources of a joint training are read (default: all with segments)'
    )
    parser.add_argument('--images', type=int, default=1000, help='images of every source')
    parser.add_argument('--minutes', type=float, default=3.0, help='for learning, after the images are encoded')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--lr', type=float, default=7e-4)
    parser.add_argument('--keep', type=float, default=0.3, help='weight of saying what was said before')
    parser.add_argument('--only-heads', action='store_true', help='train the projections of PixelNames only')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def coarsest(model: XDecoder, deepest: Tensor) -> Tensor:
    """Coarsest memory ``[B, C, h, w]`` of the deepest maps of the backbone."""
    decoder = model.pixel_decoder
    return decoder.encoder_out_proj(decoder.encode(deepest))


@torch.no_grad()
def encode(model: XDecoder, dataset: torch.utils.data.Dataset, count: int, seed: int, name: str) -> list[Encoded]:
    """The first images of a shuffled data set, as far as they have segments."""
    model.eval()
    order = random.Random(seed).sample(range(len(dataset)), min(count, len(dataset)))
    found = []
    for index in progress(order, f'images of {name}'):
        item = dataset[Draw(index, seed, 0)]
        batch = model.data_preprocessor(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]), True)
        sample = batch['data_samples'][0]
        if 'gt_segments' not in sample or 'boxes' in sample.gt_segments:
            continue
        deepest = model.backbone(batch['inputs'])[-1]
        targets = SegmentTargets([sample.gt_segments], tuple(batch['inputs'].shape[-2:]))
        masks = F.adaptive_avg_pool2d(targets.masks[0], deepest.shape[-2:])
        segments = InstanceData(labels=sample.gt_segments.labels, masks=masks)
        found.append(Encoded(deepest[0], coarsest(model, deepest)[0], segments, sample.metainfo['vocabulary']))
    return found


def train(model: XDecoder, names: PixelNames, images: list[Encoded], args: argparse.Namespace) -> None:
    """Learn for the time given; images of equal size and vocabulary make a batch."""
    groups = defaultdict(list)
    for image in images:
        groups[tuple(image.deepest.shape), image.vocabulary].append(image)
    groups = list(groups.values())
    with torch.no_grad():
        texts = {image.vocabulary: model.vocabulary(image.vocabulary) for image in images}
    decoder, scale = model.pixel_decoder, model.text_encoder.logit_scale.detach()
    parts = [] if args.only_heads else [decoder.encoder_in_proj, decoder.encoder, decoder.encoder_out_proj]
    parts.append(names)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.05)
    model.train()
    rng, begun, step = random.Random(args.seed), time.time(), 0
    while (passed := (time.time() - begun) / 60 / args.minutes) < 1:
        for group in optimizer.param_groups:
            group['lr'] = args.lr * min(1.0, (step + 1) / 50) * max(0.01, 0.5 * (1 + math.cos(math.pi * passed)))
        batch = rng.choices(rng.choices(groups, weights=[len(group) for group in groups])[0], k=args.batch)
        before = torch.stack([image.memory for image in batch])
        deepest = torch.stack([image.deepest for image in batch])
        memory = before if args.only_heads else coarsest(model, deepest)
        maps = ImageFeatures((deepest,), memory, (memory,))
        targets = SegmentTargets([image.segments for image in batch], tuple(memory.shape[-2:]))
        named = names.loss(maps, [texts[batch[0].vocabulary]] * len(batch), targets, scale)['loss_pixel_names']
        kept = F.mse_loss(memory, before) / before.var()
        optimizer.zero_grad()
        (named / max(names.weight, 1e-6) + args.keep * kept).backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            tell(f'step {step}: names {named.item():.3f}, changed {100 * kept.item():.1f} %', flush=True)


def main() -> None:
    """Entry point."""
    args = parse_args()
    import_components()
    torch.manual_seed(args.seed)
    with one_line_errors('warm-up of pixels', OSError, ValueError):
        cfg = Config.fromfile(str(find_config(args.config)))
        loaders = cfg.train_dataloader
        loaders = {'the training set': loaders} if 'dataset' in loaders else dict(loaders)
        unknown = set(args.sources or ()) - set(loaders)
        if unknown:
            raise ValueError(f'--sources: {sorted(unknown)}; {args.config} has {sorted(loaders)}')
        model = MODELS.build(cfg.model)
        loaded = load_weights(model, args.weights, allow_missing=['tasks.segmentation.pixel_names.*'])
        own = model.tasks['segmentation'].pixel_names
        if own is None or 'memory_0' not in own.projections:
            raise ValueError(f'{args.config}: its segmentation task has no PixelNames on memory_0')
        if not hasattr(model.pixel_decoder, 'encoder_out_proj'):
            raise ValueError(f'{args.config}: a {type(model.pixel_decoder).__name__} has no encoder on the deepest map')
        images = []
        for name in args.sources or loaders:
            images += encode(model, DATASETS.build(loaders[name].dataset), args.images, args.seed, name)
        if not images:
            raise ValueError(f'{args.config}: no image with masks in {", ".join(args.sources or loaders)}')
        # Here the deepest map is the only one of the backbone.
        deepest = f'backbone_{len(cfg.model.pixel_decoder.in_channels) - 1}'
        names = PixelNames(1, {}, weight=own.weight, void_weight=own.void_weight)
        for name, place in (('memory_0', 'memory_0'), (deepest, 'backbone_0')):
            if name in own.projections:
                names.projections[place] = own.projections[name]
        train(model, names, images, args)
        save_weights(model, args.target, known_words=loaded.get(KNOWN_WORDS))
    tell(f'{args.target}: from {len(images)} images')


if __name__ == '__main__':
    sys.exit(run_program(main))
