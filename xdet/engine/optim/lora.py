"""Low-rank adapters (LoRA, arXiv 2106.09685) on linear layers, by the library ``peft``.

A model with adapters keeps the names of its weights in checkpoints: ``linear1.weight`` stays ``linear1.weight`` beside
``linear1.lora_A.default.weight``. So plain weights load into it, its checkpoints hold the plain weights, and merging
yields a checkpoint like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mmengine.logging import print_log
from torch import nn

from xdet.lazy import import_optional

ENTRIES = '*.lora_[AB].*'
"""Pattern of the adapters' entries in state dicts."""

DEFAULT_TARGETS = ('decoder.layers.*',)
"""Linear layers that get an adapter unless the config says otherwise."""

_ACCEPTED = ('r', 'alpha', 'dropout', 'targets')
_ADAPTER = 'default'


def add_lora(
    model: nn.Module,
    r: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    targets: Sequence[str] = DEFAULT_TARGETS,
) -> list[str]:
    """Give linear layers an adapter; right after this the model computes what it did before.

    Only layers of type ``nn.Linear`` that are called as modules can have one. That excludes what attention layers keep
    as bare tensors, ``in_proj_weight``, and the ``out_proj`` of ``nn.MultiheadAttention`` (text encoder, pixel
    decoder), which torch reads without calling it: an adapter there would silently do nothing.

    Args:
        model (nn.Module): The model with its weights initialised, changed in place.
        r (int): Rank.
        alpha (float): The adapters' output is scaled by ``alpha / r``.
        dropout (float): Dropout on the adapters' input.
        targets (Sequence[str]): Shell patterns for the paths of linear layers; ``*`` also stands for dots.

    Returns:
        list[str]: Names of the adapters' parameters.

    Raises:
        ImportError: ``peft`` is not installed.
        ValueError: A pattern fits no linear layer that can have an adapter, or a number is out of range.
    """
    if r < 1 or alpha <= 0 or not 0 <= dropout < 1:
        raise ValueError(f'lora has r={r}, alpha={alpha}, dropout={dropout}; accepted are r >= 1, alpha > 0, [0, 1)')
    paths = _linear_layers(model, targets)
    peft = _import_peft()
    config = peft.LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=paths)
    peft.inject_adapter_in_model(config, model, adapter_name=_ADAPTER)
    for _, layer in _adapted(model):
        layer.register_state_dict_post_hook(_to_plain_names)
        layer.register_load_state_dict_pre_hook(_from_plain_names)
    print_log(f'LoRA adapters of rank {r} on {len(paths)} linear layers', logger='current')
    return [name for name, _ in model.named_parameters() if fnmatchcase(name, ENTRIES)]


def merge_lora(model: nn.Module) -> int:
    """Add the adapters to the weights they adapt and remove them.

    Args:
        model (nn.Module): A model with adapters, changed in place into a plain one.

    Returns:
        int: Number of layers that were merged.
    """
    layers = list(_adapted(model))
    for path, layer in layers:
        layer.merge(safe_merge=True)
        parent, _, name = path.rpartition('.')
        setattr(model.get_submodule(parent), name, layer.get_base_layer())
    return len(layers)


def check_options(options: Any) -> dict[str, Any]:
    """The config's ``lora`` as arguments of :func:`add_lora`.

    Raises:
        ValueError: It is no dict, or has unknown keys.
    """
    if not isinstance(options, Mapping):
        raise ValueError(f'lora is {options!r}; it must be a dict with any of {", ".join(_ACCEPTED)}')
    unknown = sorted(set(options) - set(_ACCEPTED))
    if unknown:
        raise ValueError(f'lora has no option {", ".join(unknown)}; accepted are {", ".join(_ACCEPTED)}')
    return dict(options)


def _linear_layers(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Paths of the linear layers that fit a pattern and can have an adapter."""
    unusable = {id(module.out_proj) for module in model.modules() if isinstance(module, nn.MultiheadAttention)}
    usable = [
        path for path, module in model.named_modules() if isinstance(module, nn.Linear) and id(module) not in unusable
    ]
    if isinstance(targets, str) or not targets:
        raise ValueError(f"lora.targets is {targets!r}; it must be a list of patterns, such as ['decoder.layers.*']")
    for pattern in targets:
        if not any(fnmatchcase(path, pattern) for path in usable):
            some = ', '.join(usable[:: max(1, len(usable) // 4)])
            raise ValueError(
                f"lora.targets: '{pattern}' fits no linear layer that can have an adapter (out_proj of "
                f'nn.MultiheadAttention cannot); there are {len(usable)}, such as {some}'
            )
    return [path for path in usable if any(fnmatchcase(path, pattern) for pattern in targets)]


def _adapted(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Paths and modules of the layers with adapters."""
    layer_class = _import_peft().tuners.lora.LoraLayer
    for path, module in model.named_modules():
        if isinstance(module, layer_class):
            yield path, module


def _to_plain_names(module: nn.Module, state_dict: dict, prefix: str, local_metadata: dict) -> None:
    """State dicts name the adapted weight as if there were no adapter."""
    for name in ('weight', 'bias'):
        if f'{prefix}base_layer.{name}' in state_dict:
            state_dict[prefix + name] = state_dict.pop(f'{prefix}base_layer.{name}')


def _from_plain_names(module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
    for name in ('weight', 'bias'):
        if prefix + name in state_dict:
            state_dict[f'{prefix}base_layer.{name}'] = state_dict.pop(prefix + name)


def _import_peft() -> Any:
    return import_optional('peft', 'LoRA', 'lora')
