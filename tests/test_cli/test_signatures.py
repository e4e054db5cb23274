"""Arguments in a config are compared with what takes them, before anything is built."""

from __future__ import annotations

import re
from typing import Any

import pytest
from mmengine.config import Config
from tiny.tools import CONFIG

from xdet.cli.signatures import check_signatures
from xdet.engine.hooks.checkpoint import SafeCheckpointHook
from xdet.model_zoo import find_config, list_models, load_config


@pytest.fixture
def cfg() -> Config:
    return Config.fromfile(CONFIG)


@pytest.mark.parametrize(
    ('key', 'value', 'accepted'),
    [
        ('train_dataloader.pin_memory', 'x', 'True or False'),
        ('train_dataloader.pin_memory', 5, 'True or False'),
        ('train_dataloader.sampler.shuffle', 'no', 'True or False'),
        ('train_dataloader.dataset.dataset.test_mode', 'x', 'True or False'),
        ('model.data_preprocessor.bgr_to_rgb', 'x', 'True or False'),
        ('default_hooks.checkpoint.by_epoch', 'x', 'True or False'),
        ('default_hooks.checkpoint.out_dir', 5, 'a text'),
        ('optim_wrapper.clip_grad.error_if_nonfinite', 'x', 'True or False'),
        ('optim_wrapper.optimizer.amsgrad', 'x', 'True or False'),
        ('param_scheduler.by_epoch', 'x', 'True or False'),
        ('param_scheduler.end', 'x', 'a whole number'),
        ('log_processor.by_epoch', 'x', 'True or False'),
        ('randomness.deterministic', 'x', 'True or False'),
        ('val_cfg.fp16', 'x', 'True or False'),
        ('resume', 'x', 'True or False'),
        ('load_from', 5, 'a text'),
        ('work_dir', 5, 'a text'),
        ('model.init_cfg', 'x', 'a dict'),
        ('model.pixel_decoder.init_cfg', 'x', 'a dict or a list'),
    ],
)
def test_value_of_another_kind(cfg: Config, key: str, value: Any, accepted: str) -> None:
    check_signatures(cfg)
    cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=re.escape(f"config key '{key}' is {value!r}; accepted is {accepted}")):
        check_signatures(cfg)


@pytest.mark.parametrize(
    ('key', 'taker', 'meant'),
    [
        ('train_dataloader.pin_memry', 'DataLoader', 'pin_memory'),
        ('train_cfg.max_itres', 'IterBasedTrainLoop', 'max_iters'),
        ('train_cfg.val_intervl', 'IterBasedTrainLoop', 'val_interval'),
        ('default_hooks.logger.intervall', 'LoggerHook', 'interval'),
        ('optim_wrapper.clip_grad.maxnorm', 'clip_grad_norm_', 'max_norm'),
        ('optim_wrapper.optimizer.lrr', 'AdamW', 'lr'),
        ('log_processor.windowsize', 'XDetLogProcessor', 'window_size'),
        ('model.decoder.num_head', 'XDecoderTransformerDecoder', 'num_heads'),
        ('randomness.sed', 'set_randomness', 'seed'),
    ],
)
def test_misspelt_argument(cfg: Config, key: str, taker: str, meant: str) -> None:
    cfg.merge_from_dict({key: 1})
    message = f"config key '{key}' is read by nothing: {taker} has no such argument; did you mean '{meant}'?"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_signatures(cfg)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(intervall=2), "there is no argument 'intervall'; did you mean 'interval'"),
        (dict(filename_tmpl='x.pth'), "filename_tmpl is 'x.pth'; it must hold {} where the number goes"),
        (dict(rule='x'), "rule is 'x'; accepted are 'greater' and 'less'"),
    ],
)
def test_checkpoint_hook(options: dict, message: str) -> None:
    SafeCheckpointHook(filename_tmpl='step_{}.pth', rule='less', save_best='loss')
    with pytest.raises(ValueError, match=re.escape(message)):
        SafeCheckpointHook(**options)


@pytest.mark.parametrize('pattern', ['*focal-nano*', 'xdecoder_focal-t*'])
def test_shipped_configs_are_meant(pattern: str) -> None:
    names = list_models(pattern)
    assert names
    for name in names:
        check_signatures(load_config(find_config(name)))
