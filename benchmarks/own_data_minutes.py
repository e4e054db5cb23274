"""What so many minutes of training on a few images of your own bring, from each of the models that come with xdet.

    python tools/misc/split_coco.py data/balloons/instances.json --val 21
    OMP_NUM_THREADS=1 python benchmarks/own_data_minutes.py data/balloons --minutes 2 5 10

The folder is that of docs/own_data.md: images/, train.json, val.json. Every number is a training of its own that ends
when its time is up (TimeBudgetHook), so that the learning rate has decayed; then the masks of the last iteration are
judged. The time is that of the training alone, without the start and the validation. Prints a table and leaves logs,
configs and checkpoints in --work-dir; a training that has ended is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config

from xdet.cli.errors import one_line_errors
from xdet.io.writing import write_json, write_text
from xdet.model_zoo import config_root

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """# {start}, {minutes:g} minutes
_base_ = 'xdet::_base_/own/instance.py'
data_root = {data!r}
train_file = 'train.json'
val_file = 'val.json'
images = 'images'
max_iters = 1000000
interval = 1000000
param_scheduler = None
custom_hooks = _base_.custom_hooks + [dict(type='TimeBudgetHook', seconds={seconds:g}, warmup=20)]
{start_from}
"""
STARTS = ('photos', 'scenes', 'nothing')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', type=Path, help='folder with images/, train.json and val.json')
    parser.add_argument('--minutes', type=float, nargs='+', default=[2, 5, 10], help='times of training (2 5 10)')
    parser.add_argument('--starts', nargs='+', choices=STARTS, default=STARTS, help='what to start from (all)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/own_data_minutes'))
    return parser.parse_args(argv)


def start_from(start: str) -> str:
    """Lines of a config that say what a training begins with, if it is not the default of the base."""
    if start == 'photos':
        return ''
    full = "optim_wrapper = dict(paramwise_cfg=dict(lr_mults={'backbone': 1.0, 'text_encoder': 1.0}))"
    if start == 'nothing':  # norms that nothing has set must not stay as they are
        return f'load_from = None\nmodel = dict(backbone=dict(frozen_norms=False))\n{full}'
    small = Config.fromfile(str(config_root() / '_base_' / 'models' / 'focal-nano.py')).model.to_dict()
    model = dict(
        data_preprocessor={key: small['data_preprocessor'][key] for key in ('mean', 'std')},
        backbone=dict(_delete_=True, **small['backbone']),
        pixel_decoder=dict(in_channels=small['pixel_decoder']['in_channels']),
        decoder=dict(num_queries=26),
    )
    return f"load_from = '${{embedded_scenes}}'\nmodel = {model!r}\n{full}"


def measure(start: str, minutes: float, data: Path, work_dir: Path) -> dict[str, float]:
    """Train, unless that was done, and read what the last validation found.

    Raises:
        RuntimeError: The training failed; the message holds its last line.
    """
    folder = work_dir / f'{start}_{minutes:g}'
    record = folder / 'result.json'
    if not record.is_file():
        config = folder / f'{start}.py'
        values = dict(start=start, minutes=minutes, seconds=60 * minutes, data=str(data.resolve()))
        write_text(config, CONFIG.format(**values, start_from=start_from(start)))
        command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(config), '--work-dir', str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        write_text(folder / 'output.txt', done.stdout + done.stderr)
        if done.returncode:
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            raise RuntimeError(f'training from {start} failed: {"".join(last)} ({folder / "output.txt"})')
        logs = sorted(folder.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime)
        rows = [json.loads(line) for line in logs[-1].read_text().splitlines()]
        scores = next(row for row in reversed(rows) if 'instance/AP50' in row)
        iterations = max(row['step'] for row in rows if 'loss' in row)
        found = dict(iterations=iterations, AP=scores['instance/AP'], AP50=scores['instance/AP50'])
        write_json(record, found)
    return json.loads(record.read_text())


def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    args = parse_args(argv)
    with one_line_errors('own data', OSError, RuntimeError, ValueError):
        for name in ('train.json', 'val.json', 'images'):
            if not (args.data / name).exists():
                raise FileNotFoundError(f"'{args.data / name}' does not exist; docs/own_data.md shows the folder")
        print(f'| start | {" | ".join(f"{minutes:g} minutes" for minutes in args.minutes)} |')
        print('|---' * (len(args.minutes) + 1) + '|')
        for start in args.starts:
            cells = []
            for minutes in args.minutes:
                found = measure(start, minutes, args.data, args.work_dir)
                cells.append(f'{found["AP50"]:.1f} ({found["iterations"]:.0f} iterations)')
            print(f'| {start} | {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
    main()
