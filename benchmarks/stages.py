"""How long every stage of every task takes, here and in another revision, measured in turn on the same machine.

    python benchmarks/stages.py --against v0.1.0 --out stages.json
    python benchmarks/stages.py --model xdecoder_focal-nano --size 160x240 --repeats 3        # small, this tree alone
    python benchmarks/stages.py --against v0.1.0 --phrase-size 512x680 --caption-size 224x336 --tokens 12 50 \\
        --train-size 256 224 --only 'whole*' 'training step'    # tasks from pixels to results, each at its size

Two processes with one thread each hold the same model with the same weights, one from this tree and one from the named
revision (any since ``TextPrompts`` came in 0.2). They take turns, stage by stage; what counts is the least processor
time of a stage, which other programs disturb less than the time on the clock. Before that both compute everything once,
and the largest difference of their results is reported as a share of the results' RMS.

Stages of a task begin with an encoded image; those called "whole" begin with its pixels. Operations are those of the
formulas: a convolution counts as a direct one, whichever way it is computed. ``share`` is the time that they would take
at the rates of a large matrix product and of a large 3x3 convolution, measured in the same run, over the time they
took; shorter ways can exceed 1. What texts cost is counted and timed in stages of their own: the others remember them,
and class names have made-up embeddings. The load of the machine is printed below the table. Weights are random, so
thresholds are off and all masks are made.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from pathlib import Path
from typing import Any

from stages_worker import ROOT, Worker, unpack

from xdet.cli.places import output_file
from xdet.io.writing import write_json

HERE, THERE = 'this tree', 'revision'
RATES = 'matrix product', 'convolution'


def compare(workers: dict[str, Worker], repeats: int, folder: Path) -> list[dict[str, Any]]:
    """One row per stage: seconds of each process, operations, memory, and how far the results are apart."""
    import torch

    here = workers[HERE]
    stages = [name for name in here.stages if all(name in worker.stages for worker in workers.values())]
    rows: dict[str, dict[str, Any]] = {name: dict(stage=name) for name in stages}
    for name, row in rows.items():
        results = []
        for number, (who, worker) in enumerate(workers.items()):
            row[f'MiB {who}'], row[who] = worker.ask('result', name, str(folder / f'{number}.pt'))
            results.append(torch.load(folder / f'{number}.pt', weights_only=True))
        if len(workers) > 1:
            row['difference'] = difference(*results)
        row.update(here.ask('operations', name))
    for repeat in range(repeats):
        for name, row in rows.items():
            for who, worker in list(workers.items())[:: 1 if repeat % 2 else -1]:
                row[who] = min(row[who], worker.ask('time', name))
    rates = [rows[name]['gflop'] / rows[name][HERE] for name in RATES]
    for row in rows.values():
        least = (row['gflop'] - row['convolutions']) / rates[0] + row['convolutions'] / rates[1]
        row['GFLOP/s'], row['share'] = row['gflop'] / row[HERE], least / row[HERE]
        if THERE in row:
            row['ratio'] = row[THERE] / row[HERE]
    return list(rows.values())


def difference(ours: list[Any], theirs: list[Any]) -> float:
    """How far two lists of tensors are apart: the largest difference as a share of the RMS, of masks and labels the
    share of entries that differ; infinite where the tensors are not alike."""
    if [part.shape for part in ours] != [part.shape for part in theirs]:
        return math.inf
    apart = [0.0]
    for one, two in zip(ours, theirs, strict=True):
        if not one.is_floating_point():
            apart.append(float((one != two).float().mean()) if one.numel() else 0.0)
        elif one.numel():
            apart.append(float((one - two).abs().max() / two.square().mean().sqrt().clamp(min=1e-12)))
    return max(apart)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    keys = (THERE, HERE, 'ratio', 'gflop', 'GFLOP/s', 'share', f'MiB {THERE}', f'MiB {HERE}', 'difference')
    columns = [key for key in keys if key in rows[0]]
    digits = {THERE: '.3f', HERE: '.3f', 'ratio': '.2f', 'gflop': '.1f', 'share': '.2f', 'difference': '.0e'}
    lines = ['| stage | ' + ' | '.join(columns) + ' |', '|---' * (len(columns) + 1) + '|']
    for row in rows:
        cells = [row['stage'], *(format(row[key], digits.get(key, '.0f')) for key in columns)]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def _load() -> list[float]:
    """Programs that want a core, on average of the last 1, 5 and 15 minutes; empty where that is not known."""
    return [round(load, 1) for load in os.getloadavg()] if hasattr(os, 'getloadavg') else []


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--against', help='a revision of git to compare with, such as v0.1.0 or HEAD~3')
    parser.add_argument('--model', default='xdecoder_focal-t', help='name of a shipped config')
    parser.add_argument('--size', default='800x1201', help='height x width of the image')
    parser.add_argument('--phrase-size', help='of the image of phrases (default: --size)')
    parser.add_argument('--caption-size', help='of the image of captions (default: --size)')
    parser.add_argument('--names', type=int, default=133, help='class names of segmentation')
    parser.add_argument('--tokens', type=int, nargs='+', default=[12], help='of captions')
    parser.add_argument(
        '--train-size',
        type=int,
        nargs='+',
        default=[256],
        help='side of the training image; a second one is of an image with a caption alone; 0: no training',
    )
    parser.add_argument('--only', nargs='+', default=['*'], help="patterns of stages, such as 'whole*'")
    parser.add_argument('--repeats', type=int, default=3, help='the best of so many runs, and of the first, counts')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args(arguments)
    given = {'image': args.size, 'phrases': args.phrase_size or args.size, 'caption': args.caption_size or args.size}
    sizes = {}
    for name, size in given.items():
        sides = size.split('x')
        if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
            parser.error(f'the size {size} is no height x width, such as 800x1201')
        sizes[name] = [int(side) for side in sides]
    settings = dict(model=args.model, sizes=sizes, names=args.names, tokens=args.tokens)
    settings |= dict(train_sizes=args.train_size, only=[*RATES, *args.only])
    about = dict(settings, repeats=args.repeats)
    loads = [_load()]
    with tempfile.TemporaryDirectory() as folder:
        trees = {HERE: ROOT}
        if args.against:
            trees = {THERE: Path(folder) / 'tree', HERE: ROOT}
            about['against'] = unpack(args.against, trees[THERE])
        workers = {who: Worker(tree, settings) for who, tree in trees.items()}
        rows = compare(workers, args.repeats, Path(folder))
        for worker in workers.values():
            worker.close()
    loads.append(_load())
    about['load'] = loads
    print(f'{table(rows)}\n\nload of the machine (1, 5, 15 minutes) before: {loads[0]}; after: {loads[1]}')
    if args.out:
        write_json(args.out, dict(about, stages=rows), indent=2)


if __name__ == '__main__':
    main()
