"""Half precision is for the network; what is compared or summed up is computed in single precision."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

_Module = TypeVar('_Module', bound=nn.Module)

_PRECISIONS = {'single': None, 'bfloat16': torch.bfloat16}


def named_precision(argument: str, name: str) -> torch.dtype | None:
    """The type that an argument of a config names; None is that of the weights.

    Raises:
        ValueError: There is no such precision.
    """
    if name not in _PRECISIONS:
        raise ValueError(f'{argument} is {name!r}; accepted are {" and ".join(map(repr, _PRECISIONS))}')
    return _PRECISIONS[name]


def reduced(dtype: torch.dtype | None, device: torch.device) -> AbstractContextManager[object]:
    """Inside, products and convolutions are computed in ``dtype``, unless it is None or gradients are recorded."""
    if dtype is None or torch.is_grad_enabled():
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def at_least_single(tensor: Tensor) -> Tensor:
    """Half precision raised to single; anything else as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def in_precision(module: _Module, dtype: torch.dtype) -> _Module:
    """A copy of a module, without gradients, whose floating-point tensors are of another type."""
    made: dict[int, object] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            converted = tensor.detach().to(dtype)
            kept = isinstance(tensor, nn.Parameter)
            made[id(tensor)] = nn.Parameter(converted, requires_grad=False) if kept else converted
    return copy.deepcopy(module, made)  # which takes these where it would copy the tensors
