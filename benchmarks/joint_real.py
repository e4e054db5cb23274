"""Joint training on real sets: the course of the losses, and what the model can do on every set.

    python benchmarks/joint_real.py losses WORK_DIR
    python benchmarks/joint_real.py test WEIGHTS [SET ...] [--semantic NAME=FOLDER] [--captions NAME=FOLDER]

Sets are those of the config ``xdecoder_focal-nano_joint-real``, in folders that environment variables name. Others for
zero-shot testing are added by ``--semantic`` (``NAME=FOLDER/SPLIT`` with ``classes.json``, ``images/SPLIT`` and
``labels/SPLIT`` in the folder) and ``--captions`` (with ``captions.json`` and ``images``).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import mean

from mmengine.config import Config

from xdet.cli.launch import add_launch_arguments, read_run_config, start_runner

CONFIG = 'xdecoder_focal-nano_joint-real'
SHOWN = (
    'panoptic/PQ', 'semantic/mIoU', 'referring/cIoU', 'referring/mIoU', 'caption/exact_any', 'caption/CIDEr-D',
    'retrieval/image_to_text_R@1', 'retrieval/text_to_image_R@1', 'retrieval/text_to_image_R@10', 'vqa/accuracy',
)  # fmt: skip


def losses(work_dir: Path, share: float = 0.1) -> None:
    """Print mean losses over the first, the middle and the last part of a training."""
    newest = max(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime)
    rows = [json.loads(line) for line in newest.read_text().splitlines()]
    rows = [row for row in rows if 'loss' in row]
    size = max(1, round(share * len(rows)))
    middle = (len(rows) - size) // 2
    parts = rows[:size], rows[middle : middle + size], rows[-size:]
    print(f'{rows[-1]["step"]} iterations; means of {size} logged values each')
    for name in rows[0]:
        # Losses of inner layers say the same as those of the last.
        if 'loss' in name and '.d' not in name:
            print(f'{name:36}', *(f'{mean(row[name] for row in part):9.3f}' for part in parts))


def test(cfg: Config, args: argparse.Namespace) -> None:
    """Print the metrics of every set."""
    sets = dict(cfg.test_sets)
    for name, folder in args.semantic:
        root, split = folder.parent, folder.name
        data = dict(data_root=f'{root}/', data_prefix=dict(img=f'images/{split}/', seg=f'labels/{split}/'))
        dataset = {**cfg.semantic, **data, 'indices': None, 'pipeline': cfg.semantic_test_pipeline}
        sets[name] = dict(dataset=dataset, metrics=[dict(type='SemanticIoU')])
    for name, folder in args.captions:
        dataset = dict(cfg.flickr, data_root=f'{folder}/', indices=args.limit, pipeline=cfg.pairs_test_pipeline)
        sets[name] = dict(dataset=dataset, metrics=cfg.pair_metrics)
    unknown = set(args.sets) - set(sets)
    if unknown:
        raise SystemExit(f'no set {", ".join(sorted(unknown))}; there are {", ".join(sets)}')
    names = args.sets or list(sets)
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = start_runner(_with_test_set(cfg, sets[names[0]]), args)
        for name in names:
            values = runner.test_on(_with_test_set(cfg, sets[name]))
            shown = ', '.join(f'{key} {values[key]:.1f}' for key in SHOWN if key in values)
            print(f'{name} ({len(runner.test_dataloader.dataset)} images): {shown}', flush=True)


def _with_test_set(cfg: Config, test_set: dict) -> Config:
    cfg = cfg.copy()
    cfg.test_dataloader.dataset = dict(test_set['dataset'], test_mode=True)
    cfg.test_evaluator = test_set['metrics']
    return cfg


def name_and_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition('=')
    if not folder:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=FOLDER')
    return name, Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest='command', required=True)
    course = commands.add_parser('losses')
    course.add_argument('work_dir', type=Path)
    tests = commands.add_parser('test')
    tests.add_argument('weights')
    tests.add_argument('sets', nargs='*')
    tests.add_argument('--semantic', nargs='+', type=name_and_folder, default=[])
    tests.add_argument('--captions', nargs='+', type=name_and_folder, default=[])
    tests.add_argument('--limit', type=int, default=100, help='pictures of the sets of --captions')
    add_launch_arguments(tests)
    args = parser.parse_args()
    if args.command == 'losses':
        losses(args.work_dir)
        return
    args.config = CONFIG
    cfg = read_run_config(args)
    cfg.load_from = args.weights
    cfg.log_level = 'ERROR'
    test(cfg, args)


if __name__ == '__main__':
    sys.exit(main())
