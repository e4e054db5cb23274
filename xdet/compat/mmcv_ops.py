"""Lets mmdet be imported when mmcv was installed without its compiled operators.

``mmdet`` 3.5.1 guards every import of ``mmcv.ops`` except one, so a pure-Python mmcv makes ``import mmdet.models``
fail although nothing xdet uses needs compiled operators. A stand-in module makes that import succeed. It has the one
operator that xdet does use, deformable attention, in plain PyTorch; touching any other raises ``ModuleNotFoundError``,
the class that the guards of mmdet and mmseg expect.
"""

import importlib
import sys
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
        raise ModuleNotFoundError(_MESSAGE.format(name=name), name='mmcv._ext')


def install_mmcv_ops_stub() -> bool:
    """Register the stand-in unless real operators can be imported.

    Returns:
        bool: True when the stand-in is (now) in place, False when mmcv has compiled operators.
    """
    if isinstance(sys.modules.get('mmcv.ops'), _MissingOps):
        return True
    try:
        importlib.import_module('mmcv.ops')
        return False
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith('mmcv'):
            raise
    for name in [name for name in sys.modules if name == 'mmcv.ops' or name.startswith('mmcv.ops.')]:
        del sys.modules[name]
    stub = _MissingOps('mmcv.ops')
    sys.modules['mmcv.ops'] = stub
    importlib.import_module('mmcv').ops = stub
    return True
