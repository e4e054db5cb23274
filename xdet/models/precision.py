"""Half precision is for the network; what is compared or summed up is computed in single precision."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_single(tensor: Tensor) -> Tensor:
    """Half precision raised to single; anything else as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
