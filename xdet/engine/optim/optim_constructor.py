"""Which parameter gets which learning rate and weight decay (docs/model.md, 8)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIMIZERS
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from xdet.registry import OPTIM_WRAPPER_CONSTRUCTORS

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, _NormBase)
_DEFAULTS = dict(
    lr_mults=dict(backbone=0.1, text_encoder=0.1),
    no_decay_names=(
        'positional_embedding',
        'pos_embed',
        'absolute_pos_embed',
        'relative_position_bias_table',
        'cls_token',
    ),
    official=False,
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class XDecoderOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Groups the parameters by learning rate and weight decay.

    By default the recipe as it was meant: image and text encoder learn at a tenth of the rate; weight decay acts on
    weight matrices and convolution kernels only, that is neither on norms, biases, layer scales and the logit scale
    (everything with fewer than two dimensions) nor on embedding tables and position embeddings.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper with its ``optimizer``.
        paramwise_cfg (dict, optional): Any of

            - ``lr_mults`` (dict[str, float]): Multiplier by module path, such as ``{'backbone': 0.1}``; of several
              that fit the longest path decides.
            - ``no_decay_names`` (Sequence[str]): Last parts of parameter names that are not decayed either.
            - ``official`` (bool): Use the groups of the official release instead. It multiplies wherever the path
              *contains* the name, so that ``backbone_proj`` is slowed down as well, and it decays biases, layer
              scales, position embeddings, the logit scale and the text encoder's norms.

    Raises:
        ValueError: Unknown option, or a multiplier for a path that has no parameters.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, {**_DEFAULTS, **(paramwise_cfg or {})})

    def _validate_cfg(self) -> None:
        unknown = sorted(set(self.paramwise_cfg) - set(_DEFAULTS))
        if unknown:
            raise ValueError(f'paramwise_cfg has no option {", ".join(unknown)}; accepted are {", ".join(_DEFAULTS)}')
        kind = self.optimizer_cfg['type']
        with OPTIMIZERS.switch_scope_and_registry(None) as registry:
            if isinstance(kind, str) and registry.get(kind) is None:
                raise ValueError(f"optimizer.type '{kind}' is not in the registry of optimizers")
        if self.base_lr is None or self.base_wd is None:
            raise ValueError('XDecoderOptimWrapperConstructor needs `lr` and `weight_decay` of the optimizer')

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module: int | float | None = None
    ) -> None:
        """Append one group per (learning rate, weight decay) of the trainable parameters of ``module``."""
        groups = defaultdict(list)
        names = []
        for name, owner, parameter in _named_parameters(module):
            names.append(name)
            if parameter.requires_grad:
                decay = self.base_wd if self._decays(name, owner, parameter) else 0.0
                groups[self.base_lr * self._lr_mult(name), decay].append(parameter)
        for path in self.paramwise_cfg['lr_mults']:
            if not any(self._matches(name, path) for name in names):
                raise ValueError(
                    f"paramwise_cfg.lr_mults names '{path}', but the model has no parameters there; its parts are "
                    f'{", ".join(sorted({name.split(".")[0] for name in names}))}'
                )
        for (lr, decay), group in groups.items():
            size = sum(parameter.numel() for parameter in group) / 1e6
            print_log(
                f'Optimizer group: lr {lr:g}, weight decay {decay:g}: {len(group)} tensors, {size:.2f} M', 'current'
            )
            params.append(dict(params=group, lr=lr, weight_decay=decay))

    def _matches(self, name: str, path: str) -> bool:
        return path in name if self.paramwise_cfg['official'] else f'{name}.'.startswith(f'{path}.')

    def _lr_mult(self, name: str) -> float:
        mults = self.paramwise_cfg['lr_mults']
        return (
            mults[max(fitting, key=len)] if (fitting := [path for path in mults if self._matches(name, path)]) else 1.0
        )

    def _decays(self, name: str, owner: nn.Module, parameter: nn.Parameter) -> bool:
        if isinstance(owner, nn.Embedding):
            return False
        if self.paramwise_cfg['official']:
            # The release recognises torch's norm classes; its text encoder has norms of its own, which are missed.
            return not isinstance(owner, _NORMS) or name.startswith('text_encoder.')
        return parameter.ndim >= 2 and name.split('.')[-1] not in self.paramwise_cfg['no_decay_names']


def _named_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """Every parameter once, with its name and the module that owns it."""
    owners = {id(parameter): module for module in model.modules() for parameter in module.parameters(recurse=False)}
    for name, parameter in model.named_parameters():
        yield name, owners[id(parameter)], parameter
