"""Lets mmpretrain be imported beside a ``transformers`` that is too new for it."""

from importlib import metadata
from types import ModuleType


def disable_multimodal_mmpretrain(dependency: ModuleType) -> None:
    """Make mmpretrain treat ``transformers`` 5 and newer as absent.

    mmpretrain 1.3.6 imports its multimodal models when any ``transformers`` from 4.28 on is installed, and that import
    fails with version 5, which removed functions they use; without them everything else works.

    Args:
        dependency (ModuleType): ``mmpretrain.utils.dependency``, where it notes what is installed.
    """
    try:
        major = int(metadata.version('transformers').split('.')[0])
    except (metadata.PackageNotFoundError, ValueError):
        return
    if major >= 5:
        dependency.WITH_MULTIMODAL = False
