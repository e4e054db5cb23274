"""Half precision is for the network; what is compared or summed up is computed in single precision."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

_Module = TypeVar('_Module', bound=nn.Module)


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
