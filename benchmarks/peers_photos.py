"""X-Decoder beside other segmentation models: the same photographs, backbone, augmentation, budget and optimiser.

    python benchmarks/peers_photos.py --backbone efficientnet-lite0-57934424.pth --data-root data/photos \
        [PEER ...] [--samples 1600] [--text start.safetensors] [--json peers.json]

Every model has the EfficientNet-Lite0 of timm with the weights of ``--backbone`` and frozen batch norms, is trained on
the same images in the same order (docs/photos.md says what the folder holds), and is judged by the same code. What has
queries is as wide as ours: 128 channels, 50 queries, 6 decoder layers, 2 encoder layers. What lies outside of the
segments is background for all of them: a class of the semantic models, "no object" for the others.

Peers need ``requirements/openmmlab.txt`` (mmseg) or ``transformers``; those that cannot be imported are left out, and
said so. ``--text`` is a file of tools/misc/start_weights.py: our text tower comes from it, for ``xdecoder-start`` all
that fits.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from peers_judging import judge
from peers_models import CONFIG, PEERS, Peer

import xdet.datasets
import xdet.engine
import xdet.models
import xdet.tasks  # noqa: F401
from xdet.cli.places import output_file
from xdet.datasets.order.seeding import Draw
from xdet.io.writing import write_json
from xdet.registry import DATASETS


def batches(cfg: Config, samples: int, seed: int, joint: bool) -> Iterator[list[dict[str, list]]]:
    """Per step a batch of every source; only the first, the photographs with segments, is counted."""
    sources = ('segments', 'pairs', 'scenes') if joint else ('segments',)
    sizes = dict(segments=8, pairs=2, scenes=2)
    data = {name: DATASETS.build(cfg.train_dataloader[name].dataset) for name in sources}
    for step in range(samples // 8):
        batch = []
        for name in sources:
            chosen = []
            for place in range(step * sizes[name], (step + 1) * sizes[name]):
                epoch, index = divmod(place, len(data[name]))
                order = np.random.default_rng((seed, epoch)).permutation(len(data[name]))
                chosen.append(data[name][Draw(int(order[index]), epoch, seed)])
            batch.append({key: [sample[key] for sample in chosen] for key in ('inputs', 'data_samples')})
        yield batch


def train(peer: Peer, cfg: Config, args: argparse.Namespace, joint: bool) -> dict:
    """Train in place; returns seconds per image, the mean loss of the last tenth, and what ``--judge-every`` found."""
    steps = args.samples // 8
    wrapper = dict(
        type='OptimWrapper',
        constructor='XDecoderOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=args.lr, betas=(0.9, 0.98), weight_decay=0.05),
        clip_grad=dict(max_norm=1.0),
        paramwise_cfg=dict(lr_mults={'backbone': 0.1, **peer.lr_mults}),
    )
    optim = build_optim_wrapper(peer, wrapper)
    rates = [group['lr'] for group in optim.param_groups]
    warmup = max(1, steps // 10)
    peer.train()
    spent, losses, curve = 0.0, [], []
    for step, sources in enumerate(batches(cfg, args.samples, args.seed, joint)):
        share = min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * max(0, step - warmup) / (steps - warmup + 1)))
        for group, rate in zip(optim.param_groups, rates, strict=True):
            group['lr'] = rate * share
        torch.manual_seed(step)
        start = time.process_time()
        for index, batch in enumerate(sources):
            loss = peer.loss(batch)
            loss.backward()
            if index == 0:
                losses.append(loss.item())
        optim.step()
        optim.zero_grad()
        spent += time.process_time() - start
        if not math.isfinite(losses[-1]):
            raise SystemExit(f'{type(peer).__name__}: the loss of step {step} is {losses[-1]}')
        if args.verbose and (step + 1) % 20 == 0:
            print(f'  step {step + 1}: loss {np.mean(losses[-20:]):.3f}, {spent / (step + 1):.2f} s', flush=True)
        seen = (step + 1) * 8
        if args.judge_every and seen % args.judge_every == 0 and seen < args.samples:
            curve.append(dict(samples=seen, **judge(peer, cfg, args)))
            print(f'  {seen} photographs: {json.dumps(curve[-1])}', flush=True)
            peer.train()
    spent /= max(1, steps * 8)
    return dict(train_s_per_image=spent, last_loss=float(np.mean(losses[-max(1, steps // 10) :])), curve=curve)


def table(results: dict[str, dict]) -> str:
    """Markdown."""
    head = ('model', 'mIoU', 'PQ animals', 'PQ people', 'mask IoU', 'named', 'train s', 'test s', 'M')
    lines = ['| ' + ' | '.join(head) + ' |', '|---' * len(head) + '|']
    for name, row in results.items():
        pq = row.get('PQ')
        cells = [
            name, f'{row["mIoU7"]:.1f}', f'{row["PQ_animals"]:.1f}' if pq else '', f'{pq["person"]:.1f}' if pq else '',
            f'{row["best_mask_IoU"]:.1f}' if pq else '', f'{row["best_mask_named"]:.1f}' if pq else '',
            f'{row["train_s_per_image"]:.3f}', f'{row["test_s_per_image"]:.3f}', f'{row["parameters"] / 1e6:.1f}',
        ]  # fmt: skip
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('peers', nargs='*', help=f'of {", ".join(PEERS)}; all by default')
    parser.add_argument('--data-root', default='data/photos')
    parser.add_argument('--backbone', required=True, help='ImageNet weights of EfficientNet-Lite0')
    parser.add_argument('--text', help='weights of tools/misc/start_weights.py, for ours')
    parser.add_argument('--samples', type=int, default=1600, help='photographs to train with')
    parser.add_argument('--images', type=int, default=251, help='photographs to test with')
    parser.add_argument('--judge-every', type=int, default=0, help='judge after every so many photographs as well')
    parser.add_argument('--lr', type=float, default=5e-4)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=output_file, help='results are added to this file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='changes to our config')
    parser.add_argument('--tag', default='', help='put behind the names in the results')
    parser.add_argument('--verbose', action='store_true')
    args = parser.parse_args(argv)
    unknown = set(args.peers) - set(PEERS)
    if unknown:
        parser.error(f'no peer {", ".join(sorted(unknown))}; there are {", ".join(PEERS)}')
    if args.judge_every % 8 or args.judge_every < 0:
        parser.error(f'--judge-every is {args.judge_every}; accepted are multiples of the batch of 8')
    if args.samples < 8:
        parser.error(f'--samples is {args.samples}; at least one batch of 8 is needed')
    MMLogger.get_current_instance().setLevel('ERROR')
    init_default_scope('xdet')
    torch.set_num_threads(1)
    cfg = Config.fromfile(CONFIG)
    root = str(Path(args.data_root)) + '/'
    for loader in (cfg.train_dataloader.segments, cfg.train_dataloader.pairs):
        loader.dataset.dataset.data_root = root
    cfg.val_dataloader.dataset.data_root = root
    num_classes = len(DATASETS.build({**cfg.val_dataloader.dataset, 'pipeline': []}).metainfo['classes'])
    results = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    for name in args.peers or PEERS:
        torch.manual_seed(args.seed)
        try:
            peer = PEERS[name](args, num_classes)
        except ImportError as error:
            print(f'{name} is left out: {error} (requirements/openmmlab.txt, transformers)', file=sys.stderr)
            continue
        trained = train(peer, cfg, args, name == 'xdecoder-joint')
        parameters = sum(parameter.numel() for parameter in peer.parameters())
        row = dict(samples=args.samples, lr=args.lr, parameters=parameters, **trained, **judge(peer, cfg, args))
        results[name + args.tag] = row
        if args.json:
            write_json(args.json, results, indent=1)
        print(name + args.tag, json.dumps(row), flush=True)
    print(table(results))


if __name__ == '__main__':
    main()
