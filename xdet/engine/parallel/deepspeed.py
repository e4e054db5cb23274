"""Training with DeepSpeed's ZeRO: processes divide optimizer state (stage 1) and gradients (stage 2) among them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from xdet.engine.runner import XDetRunner
from xdet.registry import MODEL_WRAPPERS, OPTIM_WRAPPERS

# Where the config says what DeepSpeed's own dict could say too.
_ELSEWHERE = {
    'train_batch_size': 'train_dataloader.batch_size',
    'train_micro_batch_size_per_gpu': 'train_dataloader.batch_size',
    'gradient_accumulation_steps': 'optim_wrapper.accumulative_counts',
    'managed_gradient_accumulation': 'optim_wrapper.accumulative_counts',
    'gradient_clipping': 'optim_wrapper.clip_grad',
    'optimizer': 'optim_wrapper.optimizer',
    'scheduler': 'param_scheduler',
    'bf16': '--amp bf16',
    'fp16': '--amp fp16',
    'torch_autocast': '--amp',
    'amp': '--amp',
}
_WRAPPERS = ('OptimWrapper', 'MixedPrecisionOptimWrapper')


class DeepSpeedRunner(XDetRunner):
    """Runner of configs with ``deepspeed``, a DeepSpeed config with ``zero_optimization=dict(stage=1)`` or 2.

    Batch sizes, accumulation, clipping, optimizer, schedules and mixed precision are said where they always are.
    Checkpoints are those of any other training: whole, with the optimizer's state as torch has it, so a training may
    be resumed with another number of processes, and with or without DeepSpeed.

    Raises:
        ImportError: DeepSpeed is not installed.
        ValueError: The config asks for what does not go together with ZeRO.
    """

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Prepare the model for DeepSpeed, which gets it together with the optimizer.

        Tests and validation do without it.
        """
        check_config(self.cfg)
        if not self.distributed:
            return super().wrap_model(None, model)
        model = super().wrap_model(dict(type=DeepSpeedModel), model)
        return model.to(memory_format=torch.contiguous_format)  # what is divided is flat

    def build_train_loop(self, loop: Any) -> Any:
        """Build the loop of a training, which unlike tests needs DeepSpeed."""
        if not self.distributed:
            raise ValueError('deepspeed divides among several processes; start them with tools/dist_train.sh')
        import_deepspeed()
        return super().build_train_loop(loop)

    def build_optim_wrapper(self, optim_wrapper: Any) -> OptimWrapper:
        """Build the optimizer and hand it to DeepSpeed together with the initialised model."""
        if isinstance(optim_wrapper, OptimWrapper):
            return optim_wrapper
        super()._init_model_weights()
        arguments = dict(optim_wrapper)
        if arguments.pop('type', 'OptimWrapper') == 'MixedPrecisionOptimWrapper':
            arguments.setdefault('dtype', 'bfloat16')  # its default
        wrapper = super().build_optim_wrapper(dict(type='ZeroOptimWrapper', **arguments))
        wrapper.start(self.model, self.cfg.deepspeed)
        return wrapper

    def _init_model_weights(self) -> None:
        """Done before DeepSpeed copied the weights."""

    def load_checkpoint(
        self, filename: str, map_location: str | Callable = 'cpu', strict: bool = True, revise_keys: list | None = None
    ) -> dict[str, Any]:
        """See :meth:`XDetRunner.load_checkpoint`; whole optimizer states stay on the CPU."""
        checkpoint = super().load_checkpoint(filename, 'cpu', strict, revise_keys)
        if isinstance(self.optim_wrapper, ZeroOptimWrapper):
            self.optim_wrapper.take_weights()
        return checkpoint

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Gather the optimizer's state, by all processes, and save, by the first."""
        self.optim_wrapper.gather()
        super().save_checkpoint(*args, **kwargs)
        self.optim_wrapper.gathered = None


@MODEL_WRAPPERS.register_module()
class DeepSpeedModel(nn.Module):
    """What DeepSpeed calls: the model, in mixed precision.

    Parameters remain in float32, as with ``MixedPrecisionOptimWrapper``; DeepSpeed's own mixed precision would cast
    them, and losses and normalisation with them.

    Args:
        module (nn.Module): The model.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.dtype = torch.float32
        # A function, because as an attribute the engine, which contains this module, would become a part of it.
        self.run_engine: Callable[..., Any] | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        with torch.autocast(get_device(), self.dtype, enabled=self.dtype != torch.float32):
            return self.module(*args, **kwargs)

    def train_step(self, data: dict, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """See ``MMDistributedDataParallel.train_step``."""
        with optim_wrapper.optim_context(self):
            losses = self.run_engine(**self.module.data_preprocessor(data, True), mode='loss')
        loss, values = self.module.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return values

    def val_step(self, data: dict) -> list:
        """Predict, without DeepSpeed and in float32."""
        return self.module.val_step(data)

    def test_step(self, data: dict) -> list:
        """Predict, without DeepSpeed and in float32."""
        return self.module.test_step(data)


@OPTIM_WRAPPERS.register_module()
class ZeroOptimWrapper(OptimWrapper):
    """Optimizer wrapper whose backward passes and updates DeepSpeed does.

    Args:
        optimizer (Optimizer): Optimizer with whole parameters; DeepSpeed replaces these by the part of this process.
        dtype (str): ``'float32'``, ``'bfloat16'`` or ``'float16'``, of the forward pass.
        loss_scale (str | float | dict): See :class:`MixedPrecisionOptimWrapper`.
        kwargs: Other arguments of ``OptimWrapper``.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        dtype: str = 'float32',
        loss_scale: str | float | dict = 'dynamic',
        **kwargs: Any,
    ) -> None:
        super().__init__(optimizer, **kwargs)
        self.dtype = getattr(torch, dtype)
        self.scale = LossScale.from_config(loss_scale) if dtype == 'float16' else None
        self.gathered: dict[str, Any] | None = None

    def start(self, model: DeepSpeedModel, options: Mapping[str, Any]) -> None:
        """Let DeepSpeed divide the optimizer.

        Args:
            model (DeepSpeedModel): Initialised model, on the device of its process.
            options (Mapping): What ``deepspeed`` is in the config.

        Raises:
            ValueError: DeepSpeed refuses the options.
        """
        options = {
            'zero_allow_untested_optimizer': True,
            'steps_per_print': None,
            **options,
            # Only DeepSpeed's own logs would use the batch size. `step` says when an accumulation ends.
            'train_micro_batch_size_per_gpu': 1,
            'gradient_accumulation_steps': 1,
            'managed_gradient_accumulation': False,
            'gradient_clipping': self.clip_grad_kwargs['max_norm'] if self.clip_grad_kwargs else 0.0,
        }
        deepspeed = import_deepspeed()
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group['params']]
        self._order: list[int] = []
        for index, parameter in enumerate(self.parameters):
            parameter.register_post_accumulate_grad_hook(lambda _, index=index: self._order.append(index))
        try:
            # Weights are the same everywhere by now, and this cannot send single numbers such as the logit scale.
            with patch.object(deepspeed.DeepSpeedEngine, '_broadcast_model', lambda _: None):
                self.engine = deepspeed.initialize(model=model, optimizer=self.optimizer, config=options)[0]
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'deepspeed: {error}') from error
        self.zero = self.engine.optimizer
        self.stage = self.engine.zero_optimization_stage()
        if self.scale:
            self.zero.override_loss_scale(self.scale.value)
        model.dtype, model.run_engine = self.dtype, self.engine.__call__

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Add to the gradients; with stage 2 they are exchanged at once."""
        self._order.clear()
        self.engine.backward(loss, scale_wrt_gas=False)
        if self.stage == 2:
            self._check_order()
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Clip and update; gradients are zero afterwards."""
        if self.stage == 1:
            for parameter in self.parameters:  # they are exchanged in turn, so none may be missing in one process only
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        self.engine.step()
        if self.clip_grad_kwargs:
            self.message_hub.update_scalar(f'train/{self.grad_name}', float(self.engine.get_global_grad_norm()))
        if self.scale:
            self.scale.update(self.zero.overflow)
            self.zero.override_loss_scale(self.scale.value)

    def zero_grad(self, **kwargs: Any) -> None:
        """DeepSpeed has done so."""

    def take_weights(self) -> None:
        """Update the divided copies of the weights after the model has loaded others."""
        self.zero.refresh_fp32_params()

    def gather(self) -> None:
        """Prepare :meth:`state_dict`; collective, and of use on the first process only."""
        state: dict[int, dict[str, Any]] = {}
        groups = []
        count = 0
        for group, flat, parameters in self._groups():
            entries = {key: _gather_flat(value, flat) for key, value in self.optimizer.state.get(flat, {}).items()}
            for index, (parameter, place) in enumerate(parameters, count):
                if entries:
                    state[index] = {
                        key: value[place].view_as(parameter).clone() if value.ndim else value.clone()
                        for key, value in entries.items()
                    }
            others = {key: value for key, value in group.items() if key != 'params'}
            groups.append(dict(others, params=list(range(count, count + len(parameters)))))
            count += len(parameters)
        self.gathered = dict(state=state, param_groups=groups)

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`gather` gathered, in the format of the undivided optimizer."""
        state = dict(self.gathered)
        if self.base_param_settings is not None:
            state['base_param_settings'] = self.base_param_settings
        if self.scale:
            state['loss_scaler'] = self.scale.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the part of this process from the state of an undivided optimizer.

        Parameters that never had a gradient have no state there; here it is zero.

        Raises:
            ValueError: The state is of another model or of other parameter groups.
        """
        settings = state_dict.pop('base_param_settings', None)
        scale = state_dict.pop('loss_scaler', None)
        if settings is not None:
            self.base_param_settings = settings
        if self.scale and scale:
            self.scale.load_state_dict(scale)
            self.zero.override_loss_scale(self.scale.value)
        sizes = [len(parameters) for _, _, parameters in self._groups()]
        if sizes != [len(group['params']) for group in state_dict['param_groups']]:
            raise ValueError('the optimizer of the checkpoint has other parameter groups; use --load-from')
        for (group, flat, parameters), saved in zip(self._groups(), state_dict['param_groups'], strict=True):
            group.update({key: value for key, value in saved.items() if key != 'params'})
            states = [state_dict['state'].get(index, {}) for index in saved['params']]
            self.optimizer.state[flat] = _divide_state(states, [place for _, place in parameters], flat)

    def _groups(self) -> Iterator[tuple[dict[str, Any], Tensor, list[tuple[Tensor, slice]]]]:
        """Groups with the part of this process, and where each parameter lies in the whole."""
        for group, flat, parameters in zip(
            self.optimizer.param_groups, self.zero.bit16_groups_flat, self.zero.bit16_groups, strict=True
        ):
            begins = [parameter.data.storage_offset() - flat.storage_offset() for parameter in parameters]
            places = [slice(begin, begin + p.numel()) for begin, p in zip(begins, parameters, strict=True)]
            yield group, group['params'][0], list(zip(parameters, places, strict=True))

    def _check_order(self) -> None:
        """Stage 2 adds up gradients in the order in which they come; another order would mix parameters up."""
        checksum = zlib.crc32(np.asarray(self._order, dtype=np.int64).tobytes())
        extremes = torch.tensor([checksum, -checksum], device=get_device())
        torch_dist.all_reduce(extremes, torch_dist.ReduceOp.MAX)
        if extremes[0] != -extremes[1]:
            raise ValueError(
                'deepspeed: stage 2 needs batches that use the same parameters in every process, and these do not; '
                'set deepspeed.zero_optimization.stage=1'
            )


class LossScale:
    """Factor of the loss that keeps gradients in float16 from underflow; ``torch.amp.GradScaler``'s rules and state.

    Args:
        init_scale (float): Factor to begin with.
        growth_factor (float): Multiplies the factor after ``growth_interval`` updates without overflow.
        backoff_factor (float): Multiplies the factor after an overflow.
        growth_interval (int): See above.
        constant (bool): Whether the factor never changes.
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        constant: bool = False,
    ) -> None:
        self.value = init_scale
        self.growth_factor = growth_factor
        self.backoff_factor = backoff_factor
        self.growth_interval = growth_interval
        self.constant = constant
        self.updates = 0

    @classmethod
    def from_config(cls, loss_scale: str | float | dict) -> LossScale:
        """Scale of ``MixedPrecisionOptimWrapper``'s argument: ``'dynamic'``, a constant, or arguments."""
        if isinstance(loss_scale, (int, float)):
            return cls(init_scale=float(loss_scale), constant=True)
        return cls(**loss_scale) if isinstance(loss_scale, Mapping) else cls()

    def update(self, overflow: bool) -> None:
        """Adapt to whether gradients of the last update overflowed."""
        if self.constant:
            return
        self.updates = 0 if overflow else self.updates + 1
        if overflow:
            self.value *= self.backoff_factor
        elif self.updates == self.growth_interval:
            self.value *= self.growth_factor
            self.updates = 0

    def state_dict(self) -> dict[str, float]:
        """State as ``GradScaler`` has it."""
        return dict(
            scale=self.value,
            growth_factor=self.growth_factor,
            backoff_factor=self.backoff_factor,
            growth_interval=self.growth_interval,
            _growth_tracker=self.updates,
        )

    def load_state_dict(self, state_dict: Mapping[str, float]) -> None:
        """Go on from a state."""
        if state_dict:  # a disabled GradScaler has none
            self.value, self.updates = state_dict['scale'], state_dict['_growth_tracker']


def check_config(cfg: Config) -> None:
    """Refuse what ``deepspeed`` cannot be combined with.

    Raises:
        ValueError: The message names the key and what is accepted.
    """
    options = cfg.deepspeed
    example = 'deepspeed=dict(zero_optimization=dict(stage=1))'
    if not isinstance(options, Mapping) or not isinstance(options.get('zero_optimization'), Mapping):
        raise ValueError(f'deepspeed is {options!r}; it must have zero_optimization, as in {example}')
    zero = options['zero_optimization']
    if zero.get('stage') not in (1, 2):
        raise ValueError(
            f'deepspeed.zero_optimization.stage is {zero.get("stage")!r}; accepted are 1 and 2. fsdp=dict() divides '
            'weights, too'
        )
    for key in options:
        if key in _ELSEWHERE:
            raise ValueError(f'deepspeed.{key} would be said twice; use {_ELSEWHERE[key]}')
    offloads = [key for key in zero if 'offload' in key and zero[key]]
    if offloads:
        raise ValueError(f'deepspeed.zero_optimization.{offloads[0]} is not supported')
    if zero['stage'] == 1 and zero.get('overlap_comm'):
        raise ValueError('deepspeed.zero_optimization.overlap_comm needs stage 2')
    if any(hook['type'] == 'EMAHook' for hook in cfg.get('custom_hooks') or ()):
        raise ValueError('deepspeed does not go together with averaged weights (EMAHook, --ema)')
    optim_wrapper = cfg.get('optim_wrapper') or {}
    wrapper = optim_wrapper.get('type', 'OptimWrapper')
    if wrapper not in _WRAPPERS:
        raise ValueError(f'deepspeed: optim_wrapper is {wrapper}; accepted are {", ".join(_WRAPPERS)}')
    clip = optim_wrapper.get('clip_grad') or {}
    if not clip.keys() <= {'type', 'max_norm', 'norm_type'} or clip.get('type', 'norm') != 'norm':
        raise ValueError(f'deepspeed clips by norm only, as in clip_grad=dict(max_norm=5.0), not by {dict(clip)}')
    if clip.get('norm_type', 2) != 2:
        raise ValueError(f'deepspeed clips by the norm of type 2, not {clip["norm_type"]}')


def import_deepspeed() -> Any:
    """The library.

    Raises:
        ImportError: It cannot be imported; the message says how to install it.
    """
    on_cpu = get_device() == 'cpu'
    if on_cpu:
        os.environ.setdefault('DS_ACCELERATOR', 'cpu')
    try:
        import deepspeed
    except ImportError as error:
        raise ImportError(f"deepspeed needs its library: pip install -e '.[deepspeed]' ({error})") from error
    if on_cpu:  # gloo will do; else each process would compile C++ for reductions in shared memory, or wait for it
        deepspeed.ops.__compatible_ops__['deepspeed_shm_comm'] = False
    return deepspeed


def _gather_flat(value: Any, flat: Tensor) -> Any:
    """Whole of a divided state on the CPU; numbers are the same everywhere."""
    if not isinstance(value, Tensor) or value.numel() != flat.numel() or value.ndim != 1:
        return torch.as_tensor(value).cpu()
    parts = [torch.empty_like(value) for _ in range(torch_dist.get_world_size())]
    torch_dist.all_gather(parts, value.contiguous())
    return torch.cat([part.cpu() for part in parts])


def _divide_state(states: list[dict[str, Any]], places: list[slice], flat: Tensor) -> dict[str, Any]:
    """State of this process's part of a group."""
    divided = {}
    for key in {key for state in states for key in state}:
        values = [torch.as_tensor(state[key]) for state in states if key in state]
        if not values[0].ndim:
            divided[key] = max(values)
            continue
        size, rank = flat.numel(), torch_dist.get_rank()
        whole = torch.zeros(size * torch_dist.get_world_size(), dtype=values[0].dtype)
        for state, place in zip(states, places, strict=True):
            if key in state:
                whole[place] = state[key].flatten()
        divided[key] = whole[rank * size : (rank + 1) * size].to(flat)
    return divided
