"""Compares ways of fine-tuning on the generated world: the panoptic model learns new words for what it knows.

    OMP_NUM_THREADS=1 python benchmarks/finetuning.py WEIGHTS [WAY ...] [--work-dir DIR]

Every way starts from the same weights and sees equally many scenes. Printed is PQ on held-out scenes whose classes are
asked for by the new words (split ``test_words``) and by the old ones (split ``test``: the same pictures).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS, MIXED = 'xdecoder_focal-nano_finetune-words', 'xdecoder_focal-nano_finetune-words-mixed'
WAYS: dict[str, tuple[str, list[str]]] = {
    'heads': (WORDS, ["trainable=['decoder.class_embed','decoder.mask_embed.*']", 'optim_wrapper.optimizer.lr=2e-3']),
    'queries': (WORDS, ["trainable=['decoder.query_feat','decoder.query_embed']", 'optim_wrapper.optimizer.lr=2e-3']),
    'lora': (WORDS, ['lora.r=8', "lora.targets=['decoder.layers.*']", 'optim_wrapper.optimizer.lr=2e-3']),
    'lora-text': (WORDS, ['lora.r=8', "lora.targets=['text_encoder.*']", 'optim_wrapper.optimizer.lr=2e-3']),
    'decoder': (WORDS, ["trainable=['decoder.*']"]),
    'text': (WORDS, ["trainable=['text_encoder.*']"]),
    'full': (WORDS, []),
    'mixed': (MIXED, ["trainable=['*']", "frozen=['text_encoder']"]),
    'mixed-text': (MIXED, []),
}


def call(tool: str, *arguments: str) -> str:
    """Output of a program of tools/."""
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        raise SystemExit(f'{tool} {" ".join(arguments)}\n{result.stdout[-2000:]}')
    return result.stdout


def panoptic_quality(config: str, options: list[str], checkpoint: str, split: str, work_dir: Path) -> float:
    """PQ on the scenes of a split."""
    folder = work_dir / split
    call(
        'test',
        config,
        checkpoint,
        '--work-dir',
        str(folder),
        *cfg_options(*options, f'test_dataloader.dataset.split={split}'),
    )
    newest = max(folder.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())['panoptic/PQ']


def cfg_options(*options: str) -> list[str]:
    return ['--cfg-options', *options] if options else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights')
    parser.add_argument('ways', nargs='*', help=f'any of before, {", ".join(WAYS)}')
    parser.add_argument('--iters', type=int, default=150)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/finetuning'))
    args = parser.parse_args()
    for way in args.ways or ['before', *WAYS]:
        config, options = WAYS.get(way, (WORDS, []))
        work_dir, checkpoint, line, begin = args.work_dir / way, args.weights, 'nothing trained', time.time()
        if way != 'before':
            length = [f'train_cfg.max_iters={args.iters}', f'train_cfg.val_interval={args.iters + 1}']
            output = call(
                'train', config, '--weights', args.weights, '--work-dir', str(work_dir), *cfg_options(*options, *length)
            )
            checkpoint = str(work_dir / f'iter_{args.iters}.pth')
            line = next(iter(re.findall(r'trains .*\)', output)), 'trains everything')
        seconds = time.time() - begin
        new, old = (panoptic_quality(config, options, checkpoint, split, work_dir) for split in ('test_words', 'test'))
        print(f'{way:10} new {new:5.1f}  old {old:5.1f}  {seconds:4.0f} s  {line}', flush=True)


if __name__ == '__main__':
    main()
