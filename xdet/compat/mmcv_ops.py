"""Lets mmdet be imported when mmcv was installed without its compiled operators.

mmdet imports ``mmcv.ops`` in many places, the original mmdet without guards, so a pure-Python mmcv makes
``import mmdet.models`` fail although nothing xdet uses needs compiled operators. A stand-in module makes these imports
succeed. It has the one operator that xdet does use, deformable attention, in plain PyTorch; using any other raises
``ModuleNotFoundError``.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_MESSAGE = (
    "mmcv was installed without compiled operators, so 'mmcv.ops.{name}' is not available. "
    'xdet does not need it; a component that does requires an mmcv built with its operators (docs/get_started.md).'
)


class _MissingOps(ModuleType):
    """Stand-in for ``mmcv.ops``: an operator is reported missing when it is used, not when the module is imported."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') and name.endswith('__'):
            raise AttributeError(name)
        if name == 'MultiScaleDeformableAttention':
            from .deformable_attention import MultiScaleDeformableAttention  # imports torch, so only when asked for

            return MultiScaleDeformableAttention
        return type(name, (_MissingOperator,), {})

    def __setattr__(self, name: str, value: Any) -> None:
        if not isinstance(value, _MissingOps):  # importing mmcv.ops.nms must not hide the operator of that name
            super().__setattr__(name, value)


class _MissingOperator:
    """Stands for a function or class: it can be imported and derived from, but not called."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise ModuleNotFoundError(_MESSAGE.format(name=cls.__name__), name='mmcv._ext')


class _Finder(MetaPathFinder, Loader):
    """Finds the stand-in where mmcv has no compiled operators."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        inside = name.startswith('mmcv.ops.') and isinstance(sys.modules.get('mmcv.ops'), _MissingOps)
        missing = name == 'mmcv.ops' and path is not None and PathFinder.find_spec('mmcv._ext', path) is None
        if not inside and not missing:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _MissingOps(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []  # it has no files


def install_mmcv_ops_stub() -> None:
    """Let ``import mmcv.ops`` succeed also without compiled operators; nothing is imported now."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
        # mmcv says that it lacks what xdet has itself (deformable_attention.py).
        warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
