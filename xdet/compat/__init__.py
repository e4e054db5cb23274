"""The only place that knows about foreign versions and foreign checkpoint layouts."""

from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

from .after_import import after_import
from .distributions import check_distributions
from .mmcv_ops import install_mmcv_ops_stub
from .moved import install_moved_modules

__all__ = ['install']


def install() -> None:
    """Make the installed OpenMMLab stack importable and its checkpoint loading safe; safe to call more than once.

    All that ``import xdet`` changes, most of it only when the module in question is imported:

    * ``mmcv.ops`` is a stand-in when mmcv has no compiled operators (:mod:`~xdet.compat.mmcv_ops`);
    * old names of moved modules of xdet lead to the new ones (:mod:`~xdet.compat.moved`);
    * ``mmengine.runner.checkpoint`` reads files without running code (:mod:`~xdet.compat.checkpoint`) and writes them
      without a copy in memory (:mod:`~xdet.compat.streamed_saving`);
    * ``mmengine.config`` knows this package, so that ``xdet::xdecoder/...`` and ``BaseInferencer(model='name')`` lead
      here, and finds the configs of a checkout, as does ``mmengine.hub`` (:mod:`~xdet.compat.checkout`);
    * ``mmengine.optim`` imports transformers when its optimizer is built, not before
      (:mod:`~xdet.compat.mmengine_optimizers`);
    * ``mmpretrain`` takes too new a transformers for absent (:mod:`~xdet.compat.mmpretrain_multimodal`);
    * packages that announce what they lack, and xdet does not need, are imported quietly (:mod:`~xdet.compat.quiet`).
    """
    check_distributions()
    install_mmcv_ops_stub()
    install_moved_modules()
    from .checkout import find_configs_in_checkout
    from .mmengine_optimizers import hidden_transformers, register_adafactor
    from .mmpretrain_multimodal import disable_multimodal_mmpretrain

    package = Path(__file__).resolve().parents[1]

    def name_package(module: ModuleType) -> None:
        module.MODULE2PACKAGE.setdefault('xdet', 'xdet')
        find_configs_in_checkout(package, (module,))

    after_import('mmengine.config.utils', name_package)
    after_import('mmengine.hub.hub', lambda module: find_configs_in_checkout(package, (module,)))
    after_import('mmengine.runner.checkpoint', _install_checkpoint_files)
    after_import('mmengine.optim.optimizer.builder', register_adafactor, hidden_transformers)
    after_import('mmpretrain.utils.dependency', disable_multimodal_mmpretrain)
    for name in ('mmdet.datasets', 'mmdet.evaluation', 'mmdet.models', 'mmseg.datasets'):
        after_import(name, lambda module: None, _quietly)


def _quietly() -> AbstractContextManager[None]:
    from .quiet import quiet_imports

    return quiet_imports()


def _install_checkpoint_files(module: ModuleType) -> None:
    from .checkpoint import install_safe_loader
    from .streamed_saving import install_streamed_saving

    install_safe_loader(module)
    install_streamed_saving(module)
