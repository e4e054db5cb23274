"""The first losses of a small training of every task; ``python tests/tiny/curve.py`` writes them anew."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

CONFIG = Path(__file__).parent / 'curve_run.py'
FILE = Path(__file__).resolve().parents[1] / 'data' / 'golden_curve.json'


class Recorder(Hook):
    """Keeps what every iteration returned."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.steps.append({name: float(value) for name, value in outputs.items() if 'loss' in name})


def curve(work_dir: Path, **changes) -> list[dict[str, float]]:
    """Losses of every iteration, on one thread."""
    from xdet.engine.runner import XDetRunner
    from xdet.visualization import XDetLocalVisualizer

    for manager in (DefaultScope, MessageHub, MMLogger, Visualizer, XDetLocalVisualizer):
        manager._instance_dict.clear()  # as in a new process
    cfg = Config.fromfile(str(CONFIG))
    cfg.work_dir = str(work_dir)
    cfg.merge_from_dict(changes)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runner = XDetRunner.from_cfg(cfg)
        recorder = Recorder()
        runner.register_hook(recorder)
        runner.train()
    finally:
        torch.set_num_threads(threads)
    return recorder.steps


if __name__ == '__main__':
    sys.path.insert(0, str(FILE.parents[1]))
    with tempfile.TemporaryDirectory() as folder:
        steps = curve(Path(folder))
    rows = {name: [float(f'{step[name]:.7g}') for step in steps] for name in ('loss', 'segments.loss', 'captions.loss')}
    FILE.write_text(json.dumps(dict(curve=rows, last=steps[-1]), indent=1) + '\n')
