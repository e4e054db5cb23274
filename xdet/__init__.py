"""xdet: X-Decoder (arXiv 2212.11270) as registered, configurable components on MMEngine."""

from importlib.util import find_spec

from .version import __version__

if find_spec('mmengine') is not None:  # `xdet.runtime` also works where the toolkit's requirements are not installed
    from .compat import install as _install_compat

    _install_compat()

__all__ = ['__version__']
