"""Imports inside xdet follow the direction that docs/architecture.md states; read from the source, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'xdet'

PARTS = {'structures', 'datasets', 'models'}
RUN = PARTS | {'tasks', 'engine', 'evaluation', 'visualization', 'compat'}
# What the modules of each room may import. Every room may also import itself and FROM_ANYWHERE.
ALLOWED = {
    'io': set(),
    'structures': set(),
    'compat': {'structures'},
    'datasets': {'structures'},
    'scenes': {'structures', 'datasets'},
    'models': {'structures'},
    'tasks': PARTS,
    'engine': PARTS | {'tasks', 'compat', 'visualization'},
    'evaluation': PARTS | {'tasks'},
    'visualization': PARTS | {'tasks'},
    'config_references': set(),
    'model_zoo': {'config_references', 'pretrained', 'structures', 'scenes'},
    'pretrained': {'structures'},
    'distillation': PARTS | {'tasks', 'compat', 'model_zoo'},
    'self_critical': PARTS | {'tasks', 'evaluation'},
    'video': set(),
    'inference': RUN | {'model_zoo', 'pretrained', 'video'},
    'runtime': {'structures', 'datasets', 'inference'},
    'retrieval': RUN | {'model_zoo', 'inference'},
    'export': RUN | {'scenes', 'model_zoo', 'inference', 'runtime'},
    'bulk': RUN | {'model_zoo', 'inference', 'retrieval'},
    'benchmarks': RUN | {'model_zoo', 'inference'},
    'page': RUN | {'model_zoo', 'inference', 'editing'},
    # Commands; what programs of other rooms share with them (`errors`, `launch`, ...) lies there too.
    'cli': RUN
    | {'config_references', 'model_zoo', 'inference', 'retrieval', 'benchmarks', 'editing', 'apis', 'scenes', 'video'}
    | {'serve', 'page', 'bulk'},
    'serve': RUN | {'inference'},
    '__main__': {'cli'},
    # A page of imports: what users import.
    'editing': RUN | {'inference', 'retrieval'},
    'apis': {'structures', 'datasets', 'compat', 'model_zoo', 'video', 'inference', 'retrieval', 'editing', 'bulk'},
    'analysis': RUN | {'model_zoo', 'inference', 'benchmarks', 'cli'},
    # The package itself only prepares the installed stack; it must not load the model code.
    '__init__': {'compat'},
    'lazy': set(),
    'registry': set(),
    'options': {'structures'},
    'version': set(),
}
# Packages of a room from the bottom up: each may import itself and what stands before it; '' are modules beside them.
INSIDE = {
    'cli': ['', 'commands'],
    'datasets': ['', 'vocab', 'files', 'exchange', 'order', 'transforms', 'sets'],
    'evaluation': ['', 'captions'],
    'inference': ['inputs', 'outputs', 'names', 'tiling', ''],
    'models.losses': ['matching', '', 'criteria'],
    'structures': ['masks', ''],
}
FROM_ANYWHERE = {'io', 'lazy', 'options', 'registry', 'version'}


def imports(path: Path, types: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Line and full name, in parts, of everything that a module imports; with or without what only types need."""
    package = ('xdet', *path.relative_to(PACKAGE).parent.parts)
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for block in ast.walk(tree) if not types else ():
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == 'TYPE_CHECKING':
            block.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name.split('.') for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = base + (node.module.split('.') if node.module else [])
            targets = [module + [alias.name] for alias in node.names]
        else:
            continue
        yield from ((node.lineno, target) for target in targets)


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of xdet in a module; ``''`` is the package itself."""
    for line, target in imports(path):
        if target[0] == 'xdet':
            yield line, target[1] if len(target) > 1 else ''


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


MODULES = sorted(PACKAGE.rglob('*.py'))


@pytest.mark.parametrize('path', MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_imports_follow_the_direction(path: Path) -> None:
    room = room_of(path)
    assert room in ALLOWED, f'{room} is a new room: say in docs/architecture.md and here what it may import'
    accepted = ALLOWED[room] | FROM_ANYWHERE | {room, ''}
    if room == '__init__':
        accepted |= {'__version__'}
    wrong = [f'line {line}: xdet.{target}' for line, target in imported_rooms(path) if target not in accepted]
    assert not wrong, f'{path.relative_to(ROOT)} may import {sorted(accepted)}, but imports {wrong}'


@pytest.mark.parametrize('room', INSIDE)
def test_packages_of_a_room_follow_their_order(room: str) -> None:
    folder, order = PACKAGE.joinpath(*room.split('.')), INSIDE[room]
    assert {part.name for part in folder.iterdir() if (part / '__init__.py').is_file()} | {''} == set(order)
    wrong = []
    for path in folder.rglob('*.py'):
        if path.parent == folder and path.name == '__init__.py':
            continue  # re-exports
        own = path.relative_to(folder).parts[0] if path.parent != folder else ''
        for line, target in imports(path, types=False):
            if target[: 1 + room.count('.') + 1] == ['xdet', *room.split('.')]:
                part = (target[2 + room.count('.') :] or [''])[0]
                part = part if part in order else ''
                if order.index(part) > order.index(own):
                    wrong.append(f'{path.relative_to(ROOT)}, line {line}: {".".join(target)}')
    assert not wrong, f'in {room}, the order is {order}'


def test_reader_sees_every_form_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), 'PACKAGE', tmp_path)
    module = tmp_path / 'models' / 'decoder' / 'x.py'
    module.parent.mkdir(parents=True)
    module.write_text(
        'import xdet.apis.a\n'
        'from xdet import tasks\n'
        'from xdet.engine.dist import f\n'
        'from ...structures import Vocabulary\n'
        'from ... import evaluation\n'
        'from .layers import Layer\n'
        'def late():\n    from xdet import visualization\n'
        'import torch\n'
    )
    rooms = [room for _, room in imported_rooms(module)]
    assert sorted(rooms) == sorted(['apis', 'tasks', 'engine', 'structures', 'evaluation', 'models', 'visualization'])


@pytest.mark.parametrize('folder', ['tools', 'demo'])
def test_no_module_imports_scripts(folder: str) -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ''] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not [name for name in names if name.split('.')[0] == folder], f'{path} imports {folder}'
