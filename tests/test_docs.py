"""The site has every page, and the notebook runs from top to bottom."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    listed = re.findall(r':\s+(\w+\.md)$', text[text.index('\nnav:') :], re.MULTILINE)
    pages = {page.name for page in (ROOT / 'docs').glob('*.md')}
    hooks = re.search(r'^PAGES = (\{.*?^\})', (ROOT / 'tools/misc/site_hooks.py').read_text(), re.MULTILINE | re.DOTALL)
    assert hooks is not None
    outside = ast.literal_eval(hooks[1])
    assert sorted(listed) == sorted(pages | set(outside))
    assert all((ROOT / source).is_file() for source in outside.values())


@pytest.mark.parametrize(
    ('page', 'before', 'after'),
    [
        ('command.md', '[table](../configs/xdecoder/README.md)', '[table](model_zoo.md)'),
        ('changes.md', 'see [photos](docs/photos.md#pose)', 'see [photos](photos.md#pose)'),
        ('model_zoo.md', '[parity](../../docs/parity.md)', '[parity](parity.md)'),
        ('model_zoo.md', '[config](xdecoder_focal-t.py)', 'config (`configs/xdecoder/xdecoder_focal-t.py`)'),
        ('index.md', '[paper](https://arxiv.org/abs/2212.11270)', '[paper](https://arxiv.org/abs/2212.11270)'),
        ('scenes.md', '![scene](../demo/demo_scene.png)', '![scene](images/demo_scene.png)'),
    ],
)
def test_links_that_leave_the_docs(page: str, before: str, after: str) -> None:
    hooks = runpy.run_path(str(ROOT / 'tools' / 'misc' / 'site_hooks.py'))
    of_page = type('Page', (), dict(file=type('File', (), dict(src_path=page))))
    assert hooks['on_page_markdown'](before, of_page) == after


PAGES = [*(ROOT / 'docs').glob('*.md'), ROOT / 'README.md', ROOT / 'CHANGELOG.md']


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_prose_has_lines_of_120_columns(page: Path) -> None:
    """Whatever is no table, no code and no image; addresses of links do not count."""
    fenced, wrong = False, []
    for number, line in enumerate(page.read_text(encoding='utf-8').splitlines(), start=1):
        fenced ^= line.lstrip().startswith('```')
        prose = not fenced and not line.startswith(('    ', '|', '![', '<'))
        if prose and len(re.sub(r'\]\([^)]*\)', ']', line)) > 120:
            wrong.append(number)
    assert not wrong, f'lines {wrong} of {page.name} are longer than 120 columns'


def test_what_the_architecture_names_exists() -> None:
    """Files may be named by the end of their path; of ``file.py::name``, the name is defined in such a file."""
    text = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')
    folders = ('xdet', 'tests', 'tools', 'demo', 'benchmarks')
    files = [path.as_posix() for folder in folders for path in (ROOT / folder).rglob('*.py')]
    missing = set()
    for path, name in set(re.findall(r'(?<![\w>])(\w[\w/]*\.py)(?:::(\w+))?', text)):
        found = [Path(file) for file in files if file.endswith(f'/{path}')]
        defined = re.compile(rf'^\s*(?:class|def) {name}\b|^{name}\b', re.MULTILINE)
        if not any(defined.search(file.read_text(encoding='utf-8')) for file in found):
            missing.add(f'{path}::{name}')
    assert not missing


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Cells are executed one after the other; what a cell ends with is shown as a notebook shows it."""
    notebook = json.loads((ROOT / 'demo' / 'tutorial.ipynb').read_text(encoding='utf-8'))
    assert all(not cell['outputs'] for cell in notebook['cells'] if cell['cell_type'] == 'code')
    monkeypatch.chdir(ROOT / 'demo')
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setattr('tempfile.tempdir', os.fspath(tmp_path))
    names: dict[str, Any] = dict(__name__='__main__')
    shown = []
    for number, cell in enumerate(notebook['cells']):
        if cell['cell_type'] == 'code':
            tree = ast.parse(''.join(cell['source']), f'cell {number}')
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, f'cell {number}', 'exec'), names)
            if last is not None:
                shown.append(eval(compile(ast.Expression(last.value), f'cell {number}', 'eval'), names))
    pictures = [value._repr_png_() for value in shown if hasattr(value, '_repr_png_')]
    assert len(pictures) == 3 and all(picture.startswith(b'\x89PNG') for picture in pictures)
    assert names['found'].names == ['cat'] and 'dog' in names['found'].absent
    assert names['ranking']['images'][0]['image'].endswith('chelsea.jpg')
    assert (tmp_path / names['WORK'].name / 'run' / 'iter_3.pth').is_file()
