"""The only place that knows about foreign versions and foreign checkpoint layouts."""

from .distributions import check_distributions
from .mmcv_ops import install_mmcv_ops_stub

__all__ = ['install']


def install() -> None:
    """Make the installed OpenMMLab stack importable; safe to call more than once."""
    check_distributions()
    install_mmcv_ops_stub()
