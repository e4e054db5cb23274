"""The only place that knows about foreign versions and foreign checkpoint layouts."""

from pathlib import Path

from .distributions import check_distributions
from .mmcv_ops import install_mmcv_ops_stub
from .moved import install_moved_modules

__all__ = ['install']


def install() -> None:
    """Make the installed OpenMMLab stack importable and its checkpoint loading safe; safe to call more than once."""
    check_distributions()
    install_mmcv_ops_stub()
    install_moved_modules()
    # These import MMEngine, so only after foreign distributions have been ruled out.
    from mmengine.config import utils
    from mmengine.hub import hub

    from .checkout import find_configs_in_checkout
    from .checkpoint import install_safe_loader
    from .mmpretrain_multimodal import disable_multimodal_mmpretrain

    install_safe_loader()
    disable_multimodal_mmpretrain()
    find_configs_in_checkout(Path(__file__).resolve().parents[1], (utils, hub))
