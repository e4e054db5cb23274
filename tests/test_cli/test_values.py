"""Values that cannot be meant are named before anything is built."""

from __future__ import annotations

import re
from typing import Any

import pytest
from mmengine.config import Config
from tiny.tools import CONFIG

from xdet.cli.values import check_values
from xdet.model_zoo import find_config, list_models, load_config


@pytest.fixture
def cfg() -> Config:
    return Config.fromfile(CONFIG)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('train_cfg.max_iters', -1),
        ('train_cfg.max_iters', 0),
        ('train_cfg.max_iters', 2.5),
        ('train_cfg.max_iters', 'x'),
        ('train_cfg.max_iters', True),
        ('train_cfg.max_iters', 10**400),
        ('train_cfg.max_iters', float('nan')),
        ('train_cfg.val_interval', 0),
        ('train_cfg.val_interval', -3),
        ('optim_wrapper.accumulative_counts', 0),
        ('optim_wrapper.clip_grad.max_norm', -1),
        ('optim_wrapper.clip_grad.max_norm', 0),
        ('optim_wrapper.clip_grad.max_norm', float('inf')),
        ('optim_wrapper.optimizer.lr', -1e-3),
        ('optim_wrapper.optimizer.lr', 'x'),
        ('optim_wrapper.optimizer.lr', float('nan')),
        ('optim_wrapper.optimizer.weight_decay', -0.1),
        ('train_dataloader.batch_size', 0),
        ('train_dataloader.num_workers', -1),
        ('auto_scale_lr.base_batch_size', 0),
        ('default_hooks.checkpoint.interval', 0),
        ('default_hooks.logger.interval', 0),
        ('default_hooks.checkpoint.max_keep_ckpts', -5),
        ('optim_wrapper.clip_grad.norm_type', 0),
        ('optim_wrapper.clip_grad.norm_type', float('nan')),
        ('param_scheduler.start_factor', float('nan')),
        ('model.backbone.drop_path_rate', 5),
        ('model.tasks.segmentation.loss.mask_weight', -1),
        ('model.tasks.segmentation.loss.class_weight', float('nan')),
        ('env_cfg', 5),
        ('default_hooks', 'x'),
        ('custom_hooks', 5),
        ('log_level', 'NOPE'),
        ('log_level', 5),
        ('sync_bn', 'x'),
        ('find_unused_parameters', 'x'),
        ('compile', 'x'),
        ('allow_missing', 'x'),
        ('allow_missing', 5),
        ('train_cfg.max_iters', 1e30),
        ('randomness.seed', 1 << 32),
        ('param_scheduler.begin', -5),
        ('param_scheduler.end', 0),
        ('param_scheduler', 5),
        ('param_scheduler', 'x'),
        ('val_evaluator', 5),
        ('visualizer', 5),
        ('model_wrapper_cfg', 5),
        ('launcher', 'x'),
        ('default_hooks.checkpoint', 5),
        ('train_dataloader.sampler', 5),
        ('train_dataloader.dataset', 'x'),
        ('val_dataloader', 5),
        ('model.text_encoder.context_length', 1),
        ('env_cfg.cudnn_benchmark', 'x'),
        ('env_cfg.mp_cfg.mp_start_method', 'x'),
        ('env_cfg.dist_cfg.backend', 'x'),
        ('auto_scale_lr.enable', 'x'),
        ('log_processor.window_size', 0),
        ('model.text_encoder.num_layers', -1),
        ('model.decoder.num_layers', -1),
        ('model.decoder.num_queries', 0),
        ('model.text_encoder.embed_dims', 0),
        ('model.tasks.segmentation.object_mask_threshold', 5),
        ('model.tasks.segmentation.overlap_threshold', -0.1),
    ],
)
def test_numbers_that_cannot_be_meant(cfg: Config, key: str, value: Any) -> None:
    check_values(cfg, training=True)
    cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=re.escape(f"config key '{key}' is ")):
        check_values(cfg, training=True)


@pytest.mark.parametrize('key', ['param_scheduler', 'custom_hooks', 'val_evaluator'])
def test_entries_of_lists_are_dicts(cfg: Config, key: str) -> None:
    cfg[key] = [dict(type='X'), 5]
    with pytest.raises(ValueError, match=f"config key '{key}.1' is 5; it must be a dict with a type"):
        check_values(cfg, training=True)


@pytest.mark.parametrize('key', ['model', 'train_dataloader', 'train_cfg', 'optim_wrapper'])
@pytest.mark.parametrize('value', [None, 'x', 5, ...])
def test_parts_that_are_missing_or_no_dicts(cfg: Config, key: str, value: Any) -> None:
    if value is ...:
        cfg.pop(key)
    else:
        cfg[key] = value
    with pytest.raises(ValueError, match=f"config key '{key}' is .*; it must be a dict"):
        check_values(cfg, training=True)


@pytest.mark.parametrize('key', ['decoder', 'backbone', 'text_encoder', 'pixel_decoder'])
@pytest.mark.parametrize('value', [None, 5, {}, dict(type=3)])
def test_parts_of_the_model(cfg: Config, key: str, value: Any) -> None:
    cfg.model[key] = value
    with pytest.raises(ValueError, match=f"config key 'model.{key}' is .*; it must be a dict with a type"):
        check_values(cfg)


@pytest.mark.parametrize('key', ['env_cfg.cudnn_benchmrk', 'auto_scale_lr.enabel'])
def test_keys_that_nothing_reads(cfg: Config, key: str) -> None:
    cfg.merge_from_dict({key: True})
    with pytest.raises(ValueError, match=f"'{key}' is read by nothing; accepted are"):
        check_values(cfg)


def test_shipped_configs_are_meant() -> None:
    for name in list_models('*focal-nano*'):
        check_values(load_config(find_config(name)))
