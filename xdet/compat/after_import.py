"""Changes to foreign modules that wait until somebody imports them, so that ``import xdet`` imports none of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

Change = Callable[[ModuleType], object]
Around = Callable[[], AbstractContextManager]


class _Changing(Loader):
    """A module's own loader, followed by a change."""

    def __init__(self, loader: Loader, change: Change, around: Around) -> None:
        self._loader, self._change, self._around = loader, change, around

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Whoever asks the module for its source later must find the loader that has it.
        module.__loader__ = module.__spec__.loader = self._loader
        with self._around():
            self._loader.exec_module(module)
        self._change(module)


class _Finder(MetaPathFinder):
    def __init__(self) -> None:
        self.changes: dict[str, tuple[Change, Around]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self.changes:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Changing(spec.loader, *self.changes[name])
        return spec


_FINDER = _Finder()


def after_import(name: str, change: Change, around: Around = nullcontext) -> None:
    """Call ``change(module)`` when a module is imported, or at once if it is already; its latest change counts.

    Args:
        name (str): Full name of the module.
        change (Callable): What to do to it.
        around (Callable): Makes the context in which the module is imported.
    """
    if name in sys.modules:
        change(sys.modules[name])
    _FINDER.changes[name] = change, around
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
