"""Packages of extras: one line says what needs them and which extra brings them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xdet.cli.commands.info import OPTIONAL
from xdet.lazy import import_optional

ROOT = Path(__file__).resolve().parents[1]


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert import_optional('json.decoder', 'reading', 'data').__name__ == 'json.decoder'
    monkeypatch.setitem(sys.modules, 'json.decoder', None)
    with pytest.raises(ImportError) as caught:
        import_optional('json.decoder', 'reading', 'data')
    assert str(caught.value).startswith('reading needs json (') and str(caught.value).count('\n') == 0
    assert str(caught.value).endswith('); pip install "xdet[data]"') and caught.value.name == 'json.decoder'
    with pytest.raises(ImportError, match='needs simplejson .*; pip install simplejson$'):
        import_optional('json.decoder', 'reading', package='simplejson')


def extras() -> dict[str, set[str]]:
    """Of setup.py: the names of the packages that each brings on top of the toolkit."""
    tree = ast.parse((ROOT / 'setup.py').read_text(encoding='utf-8'))
    (names,) = (node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets) == 'EXTRAS')
    found = [node.value for node in ast.walk(names.value) if isinstance(node, ast.Constant)]
    return {name: packages(name) for name in found} | dict(
        runtime=packages('onnxruntime'), openvino=packages('openvino'), toolkit=packages('runtime')
    )


def packages(name: str) -> set[str]:
    text = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8')
    own = set(re.findall(r'^[A-Za-z][\w-]*', text, re.MULTILINE))
    return own.union(*(packages(nested) for nested in re.findall(r'^-r (\w+)\.txt', text, re.MULTILINE)))


def calls() -> Iterator[tuple[str, str, str]]:
    """Place, package and extra of every call of ``import_optional`` that names an extra."""
    for path in sorted((ROOT / 'xdet').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == 'import_optional':
                texts = [word.value if isinstance(word, ast.Constant) else None for word in node.args]
                if len(texts) > 2 and texts[2]:
                    yield f'{path.relative_to(ROOT)}:{node.lineno}', (texts[0] or '').split('.')[0], texts[2]


def test_every_extra_that_is_named_brings_the_package() -> None:
    known, found = extras(), list(calls())
    assert {'retrieval', 'data', 'ray', 'lora', 'serve'} <= {extra for _, _, extra in found}
    # The module of faiss-cpu is faiss; that of TensorBoard is one of torch.
    wrong = [
        (place, package, extra)
        for place, package, extra in found
        if extra not in known or not any(name.startswith(package) for name in known[extra] | {'torch'})
    ]
    assert not wrong


def test_reports_of_bugs_tell_all_extras() -> None:
    known = extras()
    assert set(OPTIONAL) == set(known) - {'docs', 'tests', 'toolkit'}
    assert not {name: packages for name, packages in OPTIONAL.items() if not set(packages) <= known[name]}


def test_every_extra_in_a_text_exists() -> None:
    known = set(extras())
    files = [*(ROOT / 'xdet').rglob('*.py'), *(ROOT / 'docs').rglob('*.md'), ROOT / 'README.md']
    for path in files:
        named = re.findall(r'(?:xdet|pip install -e [\'"]?\.)\[([a-z,]+)\]', path.read_text(encoding='utf-8'))
        strange = {extra for names in named for extra in names.split(',')} - known
        assert not strange, f'{path.relative_to(ROOT)} names the extra(s) {strange}; there are {sorted(known)}'
