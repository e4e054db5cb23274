"""Detects the unmaintained OpenMMLab distributions beside the maintained ``onedl-*`` ones.

Both install the same import packages (``mmcv``, ``mmdet``, ...), so whichever was installed last has overwritten files
of the other. The result fails in ways that point nowhere near the cause; one clear line here is cheaper.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Any

MAINTAINED = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmcv-lite': 'onedl-mmcv',
    'mmcv-full': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
    'mmsegmentation': 'onedl-mmsegmentation',
    'mmpretrain': 'onedl-mmpretrain',
}

OPTIONAL = dict(mmseg='onedl-mmsegmentation', mmpretrain='onedl-mmpretrain')
"""Packages whose components configs may name (``'mmseg.RandomCrop'``) if they are installed."""


def conflicting_distributions(installed: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs ``(unmaintained, maintained)`` of which both are installed.

    Args:
        installed (Iterable[str]): Names of installed distributions, in any case and with ``-`` or ``_``.
    """
    names = {name.lower().replace('_', '-') for name in installed}
    return [(old, new) for old, new in MAINTAINED.items() if old in names and new in names]


def check_distributions() -> None:
    """Raise ``ImportError`` when two distributions provide the same import package."""
    conflicts = conflicting_distributions(filter(_is_installed, {*MAINTAINED, *MAINTAINED.values()}))
    if conflicts:
        pairs = ', '.join(f'{old} and {new}' for old, new in conflicts)
        old = ' '.join(old for old, _ in conflicts)
        new = ' '.join(sorted({new for _, new in conflicts}))
        raise ImportError(
            f'xdet: these installed distributions overwrite each other: {pairs}. Only the maintained onedl-* ones are '
            f'supported. Run: pip uninstall -y {old} && pip install --force-reinstall --no-deps {new}'
        )


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_optional_packages(cfg: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` when a config names a component of an optional package that is not installed."""
    for name in _types(cfg):
        package = name.split('.')[0]
        if '.' in name and package in OPTIONAL and find_spec(package) is None:
            raise ValueError(
                f'the config names {name}, and {package} is not installed; pip install {OPTIONAL[package]}'
            )


def _types(node: Any) -> Iterator[str]:
    """All values of ``type`` in a config."""
    if isinstance(node, Mapping):
        if isinstance(node.get('type'), str):
            yield node['type']
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _types(child)
