"""Numbers and parts of a config that cannot be meant, found before anything is built."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmengine.config import Config

from xdet.io.schema import is_finite, shown

_Rule = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value == int(value)


_COUNT: _Rule = (lambda value: _is_count(value) and value >= 1, 'a whole number from 1')
_LENGTH: _Rule = (lambda value: _is_count(value) and 1 <= value <= 10**9, 'a whole number from 1 to 10^9')
_COUNT_OR_NONE: _Rule = (lambda value: _is_count(value) and value >= 0, 'a whole number from 0')
_INTERVAL: _Rule = (
    lambda value: _is_count(value) and (value >= 1 or value == -1),
    'a whole number from 1, or -1',
)
_POSITIVE: _Rule = (lambda value: _is_number(value) and value > 0, 'a number above 0')
_NOT_NEGATIVE: _Rule = (lambda value: _is_number(value) and value >= 0, 'a number from 0')
_NORM: _Rule = (lambda value: value == math.inf or _POSITIVE[0](value), 'a number above 0, or infinity')
_SWITCH: _Rule = (lambda value: value in (True, False), 'True or False')
_SHARE: _Rule = (lambda value: _is_number(value) and 0 <= value <= 1, 'a number from 0 to 1')


def _one_of(*names: str) -> _Rule:
    return (lambda value: value in names, f'one of {", ".join(names)}')


# By the last two names of a key; the first that fits counts. Values of None mean "the default" and are not looked at.
_RULES: dict[str, _Rule] = {
    'train_cfg.max_iters': _LENGTH,
    'train_cfg.max_epochs': _LENGTH,
    'train_cfg.val_interval': _COUNT,
    'train_cfg.val_begin': _COUNT_OR_NONE,
    'optim_wrapper.accumulative_counts': _COUNT,
    'optimizer.lr': _NOT_NEGATIVE,
    'optimizer.weight_decay': _NOT_NEGATIVE,
    'clip_grad.max_norm': _POSITIVE,
    'clip_grad.clip_value': _POSITIVE,
    'clip_grad.norm_type': _NORM,
    'auto_scale_lr.base_batch_size': _COUNT,
    'checkpoint.interval': _INTERVAL,
    'checkpoint.max_keep_ckpts': _INTERVAL,
    'log_processor.window_size': _COUNT,
    'logger.interval': _COUNT,
    'randomness.seed': (lambda value: _is_count(value) and 0 <= value < 1 << 32, 'a whole number from 0 to 4294967295'),
    'env_cfg.cudnn_benchmark': _SWITCH,
    'mp_cfg.mp_start_method': _one_of('fork', 'spawn', 'forkserver'),
    'mp_cfg.opencv_num_threads': _COUNT_OR_NONE,
    'dist_cfg.backend': _one_of('nccl', 'gloo', 'mpi', 'hccl', 'cncl', 'mccl', 'xccl'),
    'dist_cfg.timeout': _POSITIVE,
    'auto_scale_lr.enable': _SWITCH,
    'find_unused_parameters': _SWITCH,
    'sync_bn': _one_of('torch', 'mmcv'),
    'log_level': (
        lambda value: value in ('DEBUG', 'INFO', 'WARNING', 'ERROR', 10, 20, 30, 40),
        'DEBUG, INFO, WARNING or ERROR',
    ),
    '*.batch_size': _COUNT,
    '*.num_workers': _COUNT_OR_NONE,
    '*.num_layers': _COUNT,
    '*.num_heads': _COUNT,
    '*.num_queries': _COUNT,
    '*.embed_dims': _COUNT,
    '*.feat_channels': _COUNT,
    '*.feedforward_channels': _COUNT,
    '*.context_length': (lambda value: _is_count(value) and value >= 3, 'a whole number from 3'),
    '*.begin': _NOT_NEGATIVE,
    '*.end': _NORM,
    'launcher': _one_of('none', 'pytorch', 'slurm', 'mpi'),
    '*.num_points': _COUNT,
    '*.object_mask_threshold': _SHARE,
    '*.overlap_threshold': _SHARE,
    '*.mask_threshold': _SHARE,
    '*.score_thr': _SHARE,
    '*.drop_path_rate': _SHARE,
    '*.start_factor': _SHARE,
    '*.end_factor': _SHARE,
    '*.class_weight': _NOT_NEGATIVE,
    '*.mask_weight': _NOT_NEGATIVE,
    '*.dice_weight': _NOT_NEGATIVE,
    '*.text_weight': _NOT_NEGATIVE,
    '*.no_object_weight': _NOT_NEGATIVE,
    '*.loss_weight': _NOT_NEGATIVE,
}
_PARTS = ('train_dataloader', 'train_cfg', 'optim_wrapper')
_DICTS = ('env_cfg', 'auto_scale_lr', 'default_hooks', 'randomness', 'model_wrapper_cfg', 'visualizer')
_DICT_OR_LIST = ('param_scheduler', 'val_evaluator', 'test_evaluator', 'custom_hooks')
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_NAMES = ('allow_missing', 'allow_unexpected')
_KEYS_OF = dict(
    env_cfg=('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'), auto_scale_lr=('enable', 'base_batch_size')
)


def check_values(cfg: Config, training: bool = False) -> None:
    """Refuse a config with parts that are missing, or with values that cannot be meant.

    Args:
        cfg (Config): The config of a run.
        training (bool): Whether it must say how to train.

    Raises:
        ValueError: It names the key, its value and what is accepted.
    """
    parts = ('model', *(_PARTS if training else ()))
    for key in parts:
        if not isinstance(cfg.get(key), Mapping):
            there = f'is {shown(cfg[key])}' if key in cfg else 'is missing'
            raise ValueError(f"config key '{key}' {there}; it must be a dict that describes the {key}")
    for key in ('model', *(f'model.{name}' for name in ('backbone', 'pixel_decoder', 'decoder', 'text_encoder'))):
        value = cfg.model if key == 'model' else cfg.model.get(key.split('.')[1], ...)
        if value is not ... and not (isinstance(value, Mapping) and isinstance(value.get('type'), (str, type))):
            raise ValueError(f"config key '{key}' is {shown(value)}; it must be a dict with a type")
    for key in _DICTS:
        if not isinstance(cfg.get(key) or {}, Mapping):
            raise ValueError(f"config key '{key}' is {shown(cfg[key])}; it must be a dict")
    _check_built(cfg)
    hooks = cfg.get('custom_hooks') or []
    if not isinstance(hooks, (list, tuple)):
        raise ValueError(f"config key 'custom_hooks' is {shown(hooks)}; it must be a list of hooks")
    for key in _NAMES:
        value = cfg.get(key)
        if value is not None and not (
            isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
        ):
            raise ValueError(f"config key '{key}' is {shown(value)}; it must be a list of names, such as ['decoder.*']")
    if cfg.get('compile') not in (None, True, False) and not isinstance(cfg.compile, Mapping):
        raise ValueError(f"config key 'compile' is {shown(cfg.compile)}; it must be True, or a dict of its options")
    for key, known in _KEYS_OF.items():
        unknown = [name for name in cfg.get(key) or () if name not in known]
        if unknown:
            raise ValueError(f"config key '{key}.{unknown[0]}' is read by nothing; accepted are {', '.join(known)}")
    for path, value in _leaves(cfg):
        rule = _RULES.get('.'.join(path[-2:])) or _RULES.get(f'*.{path[-1]}')
        if rule is None or value is None or isinstance(value, (list, tuple, Mapping)):
            continue
        if not rule[0](value):
            raise ValueError(f"config key '{'.'.join(path)}' is {shown(value)}; accepted is {rule[1]}")


def _check_built(cfg: Config) -> None:
    """Refuse what is no dict where something is built of it; libraries name neither key nor value."""
    built = {
        f'{key}.{place}' if isinstance(cfg.get(key), (list, tuple)) else key: part
        for key in _DICT_OR_LIST
        for place, part in enumerate(cfg[key] if isinstance(cfg.get(key), (list, tuple)) else [cfg.get(key)])
    }
    hooks = cfg.get('default_hooks') or {}
    built |= {f'default_hooks.{name}': hook for name, hook in hooks.items()}
    for key in _LOADERS:
        for loader in cfg[key] if isinstance(cfg.get(key), (list, tuple)) else [cfg.get(key) or {}]:
            if not isinstance(loader, Mapping):
                raise ValueError(f"config key '{key}' is {shown(loader)}; it must be a dict that describes the {key}")
            built |= {f'{key}.{name}': loader.get(name) for name in ('sampler', 'batch_sampler', 'dataset')}
    for key, part in built.items():
        if isinstance(part, (str, int, float, list, tuple)):
            raise ValueError(f"config key '{key}' is {shown(part)}; it must be a dict with a type")


def _leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, (Mapping, Config)):
        for key, value in node.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(node, (list, tuple)) and any(isinstance(value, (Mapping, list, tuple)) for value in node):
        for key, value in enumerate(node):
            yield from _leaves(value, (*path, str(key)))
    elif path:
        yield path, node
