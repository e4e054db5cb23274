"""Train the queries of clicks of the embedded model for photographs in minutes on one core.

    python benchmarks/interactive_training.py data/photos/voc_animals clicks.safetensors

Task, losses and clicks are those of the config xdecoder_lite0-nano_interactive-photos. But what is frozen is computed
once for each image, which therefore is not augmented: its features and the object queries. The file holds the whole
model, for ``benchmarks/interactive.py --trained``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from xdet.apis import XDecoderInferencer
from xdet.compat.checkpoint import write_state_dict
from xdet.compat.fitting import load_weights
from xdet.model_zoo import resolve_model
from xdet.models.context import LatentPass
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene
from xdet.structures.masks.panoptic import panoptic_ids

CONFIG, SIZE = 'xdecoder_lite0-nano_interactive-photos', 256


class Cached(NamedTuple):
    """One image: the frozen part's pass, how much each query is an object ``[1, q]``, and segments ``[n, h, w]``."""

    latents: LatentPass
    objectness: Tensor
    cells: Tensor


def pictures(root: Path, photos: int, scenes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and the numbers of the segments of their pixels; 0 is none."""
    content = json.loads((root / 'panoptic_train.json').read_text())
    names = {image['id']: image['file_name'] for image in content['images']}
    step = max(1, len(content['annotations']) // photos)
    for entry in content['annotations'][::step][:photos]:
        colours = np.asarray(Image.open(root / 'panoptic/train' / entry['file_name']).convert('RGB'))
        known = [segment['id'] for segment in entry['segments_info'] if not segment['iscrowd']]
        numbers = panoptic_ids(colours)
        picture = np.asarray(Image.open(root / 'images/train' / names[entry['image_id']]).convert('RGB'))
        yield picture, np.where(np.isin(numbers, known), numbers, 0)
    for index in range(scenes):
        rendered = render_scene(sample_scene('train', 0, index), 128)
        yield np.asarray(rendered.image), rendered.segment_map


@torch.no_grad()
def encode(model: torch.nn.Module, picture: np.ndarray, numbers: np.ndarray, least: int) -> Cached | None:
    """What is frozen; None where no segment is large enough."""
    scale = SIZE / max(numbers.shape)
    size = tuple(round(scale * length) for length in numbers.shape[::-1])
    masks = [cv2.resize((numbers == one).astype(np.float32), size) for one in np.unique(numbers[numbers > 0])]
    pad = (0, SIZE - size[0], 0, SIZE - size[1])
    if not masks:
        return None
    cells = F.avg_pool2d(F.pad(torch.from_numpy(np.stack(masks)), pad)[:, None], 4)[:, 0]
    cells = cells[(cells > 0.5).flatten(1).sum(1) >= least]
    if not len(cells):
        return None
    image = torch.from_numpy(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)).permute(2, 0, 1).float()
    features = model.encode(F.pad(image / 127.5 - 1, pad)[None])
    latents = model.latent_pass(features)
    context = model.context(latents, [])
    objectness = model.tasks['interactive']._objectness(context, latents)
    return Cached(latents, objectness, cells)


def joined(model: torch.nn.Module, parts: list[Cached]) -> LatentPass:
    """The passes of several images as one."""
    features = [part.latents.features for part in parts]
    outputs = [part.latents.outputs for part in parts]
    whole = type(features[0])(
        (),
        torch.cat([own.mask_features for own in features]),
        tuple(torch.cat(level) for level in zip(*(own.memory for own in features), strict=True)),
    )
    made = LatentPass(model.decoder, whole)
    last = type(outputs[0].last)(
        outputs[0].last.slices,
        *(torch.cat([getattr(own.last, key) for own in outputs]) for key in ('class_embed', 'mask_embed', 'state')),
    )
    keys = tuple(
        type(layer[0])(torch.cat([one.keys for one in layer]), torch.cat([one.values for one in layer]))
        for layer in zip(*(own.keys for own in outputs), strict=True)
    )
    made.outputs = type(outputs[0])((last,), whole.mask_features, keys)
    return made


def main() -> None:
    """Train, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder with panoptic_train.json')
    parser.add_argument('out', type=Path, help='.safetensors')
    parser.add_argument('--photos', type=int, default=240)
    parser.add_argument('--scenes', type=int, default=40)
    parser.add_argument('--minutes', type=float, default=4.0, help='processor time of the steps')
    parser.add_argument('--lr', type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = XDecoderInferencer(CONFIG, random_weights=True, device='cpu').model.eval()
    load_weights(model, resolve_model('photos', None, False).weights, allow_missing=('tasks.interactive.*',))
    model.requires_grad_(False)
    task = model.tasks['interactive'].train().requires_grad_(True)
    images = [encode(model, *own, task.least_cells) for own in pictures(args.root, args.photos, args.scenes)]
    cached = [own for own in images if own is not None]
    print(f'{len(cached)} images encoded after {time.process_time():.0f} s of processor time', flush=True)
    optimizer = torch.optim.AdamW(task.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05)
    start, steps, sums = time.process_time(), 0, {}
    while (done := (time.process_time() - start) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group['lr'] = args.lr * min((steps + 1) / 20, 0.5 + 0.5 * math.cos(math.pi * done))
        batch = [cached[index] for index in torch.randperm(len(cached))[:8]]
        losses = step(model, batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimizer.step()
        steps += 1
        sums = {name: sums.get(name, 0.0) + float(loss.detach()) for name, loss in losses.items()}
        if steps % 20 == 0:
            print(f'{steps} ({done:.0%}): ' + ', '.join(f'{name} {value / 20:.3f}' for name, value in sums.items()))
            print(end='', flush=True)
            sums = {}
        if steps % 60 == 0:
            write_state_dict(model.state_dict(), args.out)
    write_state_dict(model.state_dict(), args.out)
    print(f'{steps} steps, {time.process_time():.0f} s of processor time in all')


def step(model: torch.nn.Module, batch: list[Cached]) -> dict[str, Tensor]:
    """Losses of a batch."""
    task = model.tasks['interactive']
    latents = joined(model, batch)
    targets = latents.features.mask_features.new_zeros((len(batch), task.objects, SIZE // 4, SIZE // 4))
    counts = torch.zeros(targets.shape[:2], dtype=torch.bool)
    for index, own in enumerate(batch):
        cells = own.cells[torch.randperm(len(own.cells))[: task.objects]]
        targets[index, : len(cells)], counts[index, : len(cells)] = cells, True
    targets, counts = targets.flatten(0, 1), counts.flatten()
    objectness = torch.cat([own.objectness for own in batch])
    rounds = int(torch.randint(1, task.rounds + 1, ()))
    kind = int(torch.multinomial(torch.tensor(task.shares), 1))
    maps = task.head.maps(latents.features)
    with torch.no_grad():
        shown, chosen = task._play(latents, objectness, maps, targets, rounds, kind)
    answers = task._pass(latents, maps, shown, chosen, task.objects)
    return task.criterion(answers.masks[counts], answers.scores[counts], targets[counts])


if __name__ == '__main__':
    main()
