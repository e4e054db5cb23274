"""Mixed precision on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn
from torch.amp import GradScaler

from xdet.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class MixedPrecisionOptimWrapper(AmpOptimWrapper):
    """``AmpOptimWrapper`` that also runs on CPU, and that scales the loss only where that is needed.

    bfloat16 has the exponent range of float32, so its gradients do not underflow and need no scaling.

    Args:
        dtype (str): ``'float16'`` or ``'bfloat16'``.
        loss_scale (str | float | dict): For float16: ``'dynamic'``, a constant, or arguments of
            ``torch.amp.GradScaler``.
        kwargs: Arguments of ``OptimWrapper``: ``optimizer``, ``accumulative_counts``, ``clip_grad``.

    Raises:
        ValueError: Another type or loss scale.
    """

    def __init__(self, dtype: str = 'bfloat16', loss_scale: str | float | dict = 'dynamic', **kwargs) -> None:
        if dtype not in ('float16', 'bfloat16'):
            raise ValueError(f"dtype of mixed precision is {dtype!r}; accepted are 'float16' and 'bfloat16'")
        if not isinstance(loss_scale, (float, dict)) and loss_scale != 'dynamic':
            raise ValueError(f"loss_scale is {loss_scale!r}; accepted are 'dynamic', a float or a dict")
        # Not AmpOptimWrapper's own constructor: it refuses to work without an accelerator.
        OptimWrapper.__init__(self, **kwargs)
        self.cast_dtype = getattr(torch, dtype)
        self.device_type = self.optimizer.param_groups[0]['params'][0].device.type
        self._scale_update_param = loss_scale if isinstance(loss_scale, float) else None
        options = loss_scale if isinstance(loss_scale, dict) else {}
        if isinstance(loss_scale, float):
            options = dict(init_scale=loss_scale)
        self.loss_scaler = GradScaler(self.device_type, enabled=dtype == 'float16', **options)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward pass in reduced precision; gradients are synchronised only where accumulation ends."""
        with OptimWrapper.optim_context(self, model), torch.autocast(self.device_type, dtype=self.cast_dtype):
            yield
