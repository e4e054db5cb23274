"""Lets MMEngine find ``xdet::...`` configs in a checkout.

MMEngine reads the configs of a package from its ``.mim`` folder, which only a wheel has. Links in the place of that
folder, as other projects make them for editable installs, would let mim find every config twice and refuse to choose
(onedl-mim 0.5.1). So paths into the missing folder are led to the repository, which has the same content.
"""

from __future__ import annotations

import os
import os.path as osp
from pathlib import Path
from types import ModuleType
from typing import Any

_MIM = '.mim'


class _PathsOfCheckout:
    """Stands for ``os.path`` in a module; only ``join(package, '.mim', ...)`` differs."""

    def __init__(self, package: Path) -> None:
        self._package = str(package)
        self._repository = str(package.parent)

    def __getattr__(self, name: str) -> Any:
        return getattr(osp, name)

    def join(self, first: str | os.PathLike, *rest: str) -> str:
        """``os.path.join`` that leaves ``.mim`` out below the package."""
        if rest and rest[0] == _MIM and os.fspath(first) == self._package:
            return osp.join(self._repository, *rest[1:])
        return osp.join(first, *rest)


def find_configs_in_checkout(package: Path, modules: tuple[ModuleType, ...]) -> bool:
    """Lead paths into ``package/.mim`` to the repository when the package lies in one.

    Args:
        package (Path): Folder of the package.
        modules (tuple[ModuleType, ...]): Modules that use ``os.path`` under the name ``osp``.

    Returns:
        bool: False when there is nothing to do: the folder exists, or there is no repository around the package.
    """
    if (package / _MIM).exists() or not (package.parent / 'model-index.yml').is_file():
        return False
    for module in modules:
        module.osp = _PathsOfCheckout(package)  # type: ignore[attr-defined]
    return True
