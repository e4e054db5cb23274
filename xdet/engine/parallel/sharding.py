"""Fully sharded data parallelism: every process keeps a part of weights, gradients and optimizer state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.device import get_device
from mmengine.dist import broadcast
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from xdet.compat.fitting import check_finite
from xdet.engine.runner import XDetRunner, read_training_checkpoint

from .combinations import check_combinations

# Gathered while they compute: the layers, which hold most of the weights and are entered through `forward` only.
SHARDED_MODULES = (
    'backbone.layers.*.blocks.*',
    'pixel_decoder.encoder.layers.*',
    'decoder.layers.*',
    'text_encoder.transformer.resblocks.*',
)


class ShardedRunner(XDetRunner):
    """Runner of configs with ``fsdp``, a dict of arguments of :func:`shard_model`.

    Checkpoints are whole: their weights are those of any other training, and a training may be resumed with another
    number of processes (but only with ``fsdp``). What does not go together with it says
    :mod:`~xdet.engine.parallel.combinations`.
    """

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Load the weights that the training starts from and shard the model; it needs no wrapper.

        Raises:
            CheckpointError: The weights cannot be read or do not fit.
            ValueError: There is a single process only, or the config has options that do not go together.
        """
        check_combinations(self.cfg)
        if not self.distributed:
            raise ValueError('fsdp shards over several processes; start them with tools/dist_train.sh')
        # What is sharded must be contiguous; with channels_last the images still are in that format.
        model = model.to(get_device()).to(memory_format=torch.contiguous_format)
        if not self.cfg.get('lora'):  # else done before the adapters were added
            model.init_weights()
        if self._load_from and not self._resume:
            self._load_weights(model, self._load_from)
        for value in model.state_dict().values():
            broadcast(value)
        return shard_model(model, **self.cfg.fsdp)

    def _init_model_weights(self) -> None:
        """Done before the weights were sharded."""

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Gather, by all processes, and save, by the first."""
        self._gathered = gather_state(self.model, self.optim_wrapper)
        super().save_checkpoint(*args, **kwargs)
        del self._gathered

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call hooks; a checkpoint is completed before they see it."""
        if fn_name == 'before_save_checkpoint':
            checkpoint = kwargs['checkpoint']
            checkpoint.update((key, value) for key, value in self._gathered.items() if key in checkpoint)
        super().call_hook(fn_name, **kwargs)

    def load_checkpoint(
        self, filename: str, map_location: str | Callable = 'cpu', strict: bool = True, revise_keys: list | None = None
    ) -> dict[str, Any]:
        """See :meth:`XDetRunner.load_checkpoint`."""
        checkpoint: dict[str, Any] = {}
        if self._resume:
            checkpoint = read_training_checkpoint(filename)
            self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
            parameters = {name for name, _ in self.bare_model.named_parameters()}
            whole = {key: value for key, value in checkpoint['state_dict'].items() if key in parameters}
            check_finite(whole, {}, filename)
            self._load_resumed(divided(self.model, checkpoint['state_dict']), filename)
            scatter_optimizer(self.model, self.optim_wrapper, checkpoint)
        elif filename != self._load_from:
            raise ValueError(f"with fsdp, weights are loaded before they are divided; set load_from='{filename}'")
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint


def shard_model(
    model: nn.Module, modules: Sequence[str] = SHARDED_MODULES, reshard_after_forward: bool = True
) -> nn.Module:
    """Shard a model in place over all processes, by torch's ``fully_shard``.

    Weights outside of ``modules`` are gathered for the whole step. Single numbers, such as the logit scale, cannot be
    sharded; every process keeps them and their gradients are averaged.

    Args:
        model (nn.Module): Initialised model, on the device of its process.
        modules (Sequence[str]): Patterns for paths of modules to gather one at a time; ``*`` stands for one part.
        reshard_after_forward (bool): Give gathered weights back after the forward pass and gather them again for the
            backward pass. False keeps them: faster, and only gradients and optimizer state are divided by then.

    Raises:
        ValueError: No module fits any pattern.
        ImportError: torch is older than 2.6.
    """
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(get_device(), (torch_dist.get_world_size(),), mesh_dim_names=('fsdp',))
    chosen = [module for path, module in model.named_modules() if any(_fits(path, pattern) for pattern in modules)]
    if not chosen:
        raise ValueError(f'fsdp.modules: no module of the model fits {", ".join(modules)}')
    for module in chosen:
        fully_shard(module, mesh=mesh, reshard_after_forward=reshard_after_forward)
    scalars = {parameter for parameter in model.parameters() if parameter.ndim == 0}
    for scalar in scalars:
        if scalar.requires_grad:
            scalar.register_post_accumulate_grad_hook(_average_gradient)
    return fully_shard(model, mesh=mesh, reshard_after_forward=reshard_after_forward, ignored_params=scalars)


def gather_state(model: nn.Module, optim_wrapper: OptimWrapper) -> dict[str, Any]:
    """Whole ``state_dict`` and ``optimizer`` for a checkpoint; collective, and empty but on the first process."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(
        state_dict=get_model_state_dict(model, options=options),
        optimizer=get_optimizer_state_dict(model, optim_wrapper.optimizer, options=options),
    )


def divided(model: nn.Module, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Whole weights, which every process has, divided as those of a sharded model are.

    By the names of state dicts, which adapters change: torch's ``set_model_state_dict`` looks for parameters instead.
    """
    own = model.state_dict()
    return {
        name: distribute_tensor(
            value.to(own[name].device), own[name].device_mesh, own[name].placements, src_data_rank=None
        )
        if isinstance(own.get(name), DTensor)
        else value
        for name, value in state_dict.items()
    }


def scatter_optimizer(model: nn.Module, optim_wrapper: OptimWrapper, checkpoint: dict[str, Any]) -> None:
    """Load what :func:`gather_state` returned, on any number of processes; ``optimizer`` becomes what was loaded.

    Raises:
        ValueError: The checkpoint is of a training without ``fsdp``.
    """
    if any(not isinstance(name, str) for name in checkpoint['optimizer']['state']):
        raise ValueError('the checkpoint is of a training without fsdp; resume without it, or use --load-from')
    options = StateDictOptions(full_state_dict=True)
    saved = checkpoint['optimizer']
    if any(saved['state'].values()):
        set_optimizer_state_dict(model, optim_wrapper.optimizer, saved, options=options)
    else:  # which torch refuses: an optimizer that keeps nothing per weight, such as plain SGD
        for own, group in zip(optim_wrapper.optimizer.param_groups, saved['param_groups'], strict=True):
            own.update({key: value for key, value in group.items() if key != 'params'})
    checkpoint['optimizer'] = optim_wrapper.state_dict()


def _fits(path: str, pattern: str) -> bool:
    parts, wanted = path.split('.'), pattern.split('.')
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _average_gradient(parameter: Tensor) -> None:
    torch_dist.all_reduce(parameter.grad)
    parameter.grad /= torch_dist.get_world_size()
