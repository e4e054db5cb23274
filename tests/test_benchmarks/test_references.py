"""Programs beside the package look inside it; a rename must not leave one behind that few people run."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest
from tiny.tools import ROOT

PROGRAMS = sorted(path for folder in ('benchmarks', 'demo', 'tools') for path in (ROOT / folder).rglob('*.py'))
OF_TORCH = {'_cdata', '_instance_dict'}


def private_names(path: Path) -> tuple[set[str], set[str]]:
    """Private names that a file defines, and those that it reads from an object."""
    defined, read = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.Attribute):
            (read if isinstance(node.ctx, ast.Load) else defined).add(node.attr)
    return defined, {name for name in read if name.startswith('_') and not name.endswith('__')}


@pytest.fixture(scope='module')
def defined() -> set[str]:
    return set().union(OF_TORCH, *(private_names(path)[0] for path in (ROOT / 'xdet').rglob('*.py')))


@pytest.mark.parametrize('path', PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_are_there(path, defined):
    own, read = private_names(path)
    assert read <= defined | own
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('xdet.') and 'page' not in node.module:
            module = import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or import_module(f'{node.module}.{alias.name}'), alias.name
