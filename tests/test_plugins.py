"""docs/plugins.md to the letter: a package and a config outside of the repository, trained, tested and used."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny.tools import ROOT, run_tool

from xdet.apis import XDecoderInferencer

PAGE = (ROOT / 'docs' / 'plugins.md').read_text(encoding='utf-8')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two files of the page, and the folder on Python's path."""
    for name, code in re.findall(r'^    # (\w+)\.py\n((?:    .*\n|\n)+)', PAGE, re.M):
        (tmp_path / f'{name}.py').write_text(re.sub(r'^    ', '', code, flags=re.M))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop('counting', None)
    from xdet import registry

    for name, part in (
        ('MODELS', 'TorchvisionResNet'), ('TASKS', 'CountTask'), ('TASK_FORMATS', 'count'), ('METRICS', 'CountError'),
        ('HOOKS', 'SayWhenDone'),
    ):  # fmt: skip
        getattr(registry, name)._module_dict.pop(part, None)


def test_a_plugin_is_trained_tested_and_used(folder: Path, capsys: pytest.CaptureFixture) -> None:
    options = ['train_cfg.max_iters=2', 'train_dataloader.batch_size=2', 'val_dataloader.dataset.num_scenes=2']
    run_tool('train', 'count.py', '--cfg-options', *options)
    out = capsys.readouterr().out
    assert 'count/MAE: ' in out and 'counted for 2 iterations' in out
    inferencer = XDecoderInferencer('count.py', weights='work_dirs/count/iter_2.pth', device='cpu')
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    result = inferencer(image, task='count', show_progress=False)
    assert isinstance(result['predictions'][0]['count'], float)
