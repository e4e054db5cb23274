"""Imports that wait: names of a package until they are asked for, packages of extras until something needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package (PEP 562).

    Args:
        package (str): Its ``__name__``.
        modules (Mapping[str, str]): By sub-module, the names that it defines, separated by spaces.
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        value = getattr(import_module(f'{package}.{homes[name]}'), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *homes}), sorted(homes)


def import_optional(module: str, user: str, extra: str | None = None, package: str | None = None) -> Any:
    """A module of a package that xdet does not bring by itself.

    Args:
        module (str): Its full name.
        user (str): What needs it, as the subject of "needs".
        extra (str, optional): The extra of xdet that brings the package; None if no extra does.
        package (str, optional): What to call the package; None is the first part of the module's name.

    Raises:
        ImportError: It cannot be imported; one line says what needs it, why it fails and what to install.
    """
    package = package or module.split('.')[0]
    try:
        return import_module(module)
    except ImportError as error:
        wanted = f'"xdet[{extra}]"' if extra else package
        cause = ' '.join(str(error).split())[:300]
        raise ImportError(f'{user} needs {package} ({cause}); pip install {wanted}', name=error.name) from error
