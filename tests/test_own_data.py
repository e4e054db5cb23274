"""docs/own_data.md to the letter: every config and every command, with fewer iterations and smaller images."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.data import CLASSES
from tiny.own_data import COLOURS, write_own_data
from tiny.tools import ROOT, run_script

PAGE = (ROOT / 'docs' / 'own_data.md').read_text(encoding='utf-8')
SECTIONS = re.findall(r'^## (Instances|Label images|Captions|Phrases|Questions).*?\n(.*?)(?=^## )', PAGE, re.M | re.S)
MEASURES = {
    'Instances': 'instance/AP50',
    'Label images': 'semantic/mIoU',
    'Captions': 'caption/CIDEr-D',
    'Phrases': 'referring/cIoU',
    'Questions': 'vqa/accuracy',
}
# What docs/training.md says beside.
MORE = {
    ('Instances', 'tools/train.py'): ['--show-dir', 'seen', '--show-interval', '2'],
    ('Instances', 'tools/test.py'): ['--format', 'coco'],
}


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_data(tmp_path_factory.mktemp('own') / 'data', number=6)


def arrange(source: Path, kind: str, root: Path) -> None:
    """The folder that a section of the page shows."""
    root.mkdir(parents=True)
    (root / 'images').symlink_to(source / 'images')
    if kind == 'Instances':
        (root / 'instances.json').write_text((source / 'annotations/instances_val.json').read_text())
    elif kind == 'Phrases':
        (root / 'referring.json').write_text((source / 'referring.json').read_text())
    elif kind == 'Label images':
        (root / 'images').unlink()
        (root / 'classes.txt').write_text('\n'.join(CLASSES))
        for split in ('train', 'val'):
            for folder in ('images', 'labels'):
                (root / folder).mkdir(exist_ok=True)
                (root / folder / split).symlink_to(source / folder / 'val')
    else:
        for name in ('train', 'val'):
            rows = [json.loads(line) for line in re.findall(r'^    (\{"image".*\})$', dict(SECTIONS)[kind], re.M)]
            rows = [{**row, 'image': f'{n}.png'} for row in rows for n in range(6)]
            rows = [json.loads(json.dumps(row).replace('red', COLOURS[n % 4])) for n, row in enumerate(rows)]
            (root / f'{name}.jsonl').write_text('\n'.join(map(json.dumps, rows)))


@pytest.mark.parametrize(('kind', 'body'), SECTIONS, ids=[kind for kind, _ in SECTIONS])
def test_page(
    kind: str, body: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    [(name, code)] = re.findall(r'^    # (\w+)\.py\n((?:    .*\n)+)', body, re.M)
    lines = [line.strip() for line in code.splitlines()]
    assert len(lines) <= 10
    Path(f'{name}.py').write_text('\n'.join(lines) + '\n')
    arrange(source, kind, tmp_path / 'data' / name)
    commands = [shlex.split(line) for line in re.findall(r'^    python (.*)$', body, re.M)]
    assert [command[0] for command in commands][-3:] == ['tools/train.py', 'tools/test.py', 'demo/image_demo.py']
    for script, *arguments in commands:
        arguments = [argument.replace('iter_300', 'iter_4') for argument in arguments]
        arguments += MORE.get((kind, script), [])
        if script in ('tools/train.py', 'tools/test.py'):
            arguments += ['--cfg-options', 'max_iters=4', 'size=64', 'interval=2']
            if script == 'tools/train.py':
                arguments += ['default_hooks.logger.interval=1']
        capsys.readouterr()
        run_script(script, *arguments)
        if script == 'tools/train.py':
            check_console(capsys.readouterr().out)
        if script == 'tools/test.py':
            assert MEASURES[kind] in capsys.readouterr().out
    work_dir = tmp_path / 'work_dirs' / name
    assert {path.name for path in work_dir.glob('*.pth')} == {'iter_2.pth', 'iter_4.pth'}
    [log] = [path for path in work_dir.glob('*/vis_data/scalars.json') if '"loss"' in path.read_text()]
    losses = [row['loss'] for row in map(json.loads, log.read_text().splitlines()) if 'loss' in row]
    assert len(losses) == 4 and np.isfinite(losses).all()
    assert list((tmp_path / 'outputs' / name).rglob('*.json'))
    drawn = list(work_dir.glob('*/predictions/*.png'))
    if any('--show-dir' in command for command in commands):
        assert drawn
        width, height = Image.open(drawn[0]).size
        assert width > 2 * height, 'ground truth is not beside the prediction'
    if kind == 'Instances':
        assert {path.parent.name for path in work_dir.glob('*/seen/*/*.png')} == {'iter_2', 'iter_4'}
        rows = json.loads((work_dir / 'coco_results' / 'segm.json').read_text())
        assert rows and {row['category_id'] for row in rows} == {3}


def check_console(text: str) -> None:
    """Lines of a training fit on a screen; nothing in them is about the insides of MMEngine."""
    steps = [line for line in text.splitlines() if 'Iter(train)' in line]
    assert len(steps) == 4 and all(' loss: ' in line and len(line) < 300 for line in steps)
    assert 'environment.txt' in text and 'FileClient' not in text and len(text) < 20_000
