"""Misspelt options and keys are refused with a suggestion; good ones reach the config."""

from __future__ import annotations

import re
from argparse import ArgumentParser

import pytest
from mmengine.config import Config

from xdet.cli.launch import add_launch_arguments
from xdet.cli.overrides import apply_overrides, check_spelling


@pytest.fixture
def cfg() -> Config:
    return Config(
        dict(
            model=dict(type='XDecoder', decoder=dict(num_queries=101), head=None),
            train_pipeline=[dict(type='Load'), dict(type='Flip', prob=0.5)],
            data_root='data/',
            train_cfg=dict(max_iters=6),
            max_iters=6,
            task_pipelines=dict(),
            train_dataloader=dict(
                dataset=dict(ann='data/x.json', pipeline=[dict(type='Load'), dict(type='Flip', prob=0.5)])
            ),
        )
    )


@pytest.mark.parametrize(
    ('key', 'value', 'read'),
    [
        ('model.decoder.num_queries', 201, lambda cfg: cfg.model.decoder.num_queries),
        ('model.decoder.num_layers', 3, lambda cfg: cfg.model.decoder.num_layers),
        ('train_dataloader.dataset.pipeline.1.prob', 0.0, lambda cfg: cfg.train_dataloader.dataset.pipeline[1].prob),
        ('task_pipelines.caption', [], lambda cfg: cfg.task_pipelines.caption),
        ('auto_scale_lr.enable', True, lambda cfg: cfg.auto_scale_lr.enable),
        ('find_unused_parameters', True, lambda cfg: cfg.find_unused_parameters),
        ('allow_missing', ['tasks.*'], lambda cfg: cfg.allow_missing),
    ],
)
def test_option_arrives(cfg: Config, key: str, value: object, read) -> None:
    apply_overrides(cfg, {key: value})
    assert read(cfg) == value


@pytest.mark.parametrize(
    ('key', 'parts'),
    [
        ('modle.x', ["the config has no 'modle'", "'model'"]),
        ('modle', ["did you mean 'model'"]),
        ('modell', ["did you mean 'model'?"]),
        ('model.decodr.num_queries', ["model has no 'decodr'", "'decoder'"]),
        ('train_pipeline.2.prob', ['list of 2', 'from 0 to 1']),
        ('train_pipeline.first.prob', ['list of 2', "'first'"]),
        ('data_root.x', ["'data_root' is 'data/'"]),
        ('data_root.x.y', ["'data_root' is 'data/'"]),
    ],
)
def test_misspelt_option_is_refused(cfg: Config, key: str, parts: list[str]) -> None:
    before = cfg.to_dict()
    with pytest.raises(ValueError) as info:
        apply_overrides(cfg, {key: 1})
    message = str(info.value)
    assert f'--cfg-options {key}' in message and '\n' not in message
    assert all(part in message for part in parts), message
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    ('key', 'value', 'hint'),
    [
        ('max_iters', 1, 'set train_cfg.max_iters$'),
        ('data_root', '/data/', 'set train_dataloader.dataset.ann$'),
        ('train_pipeline.1.prob', 0.0, 'set train_dataloader.dataset.pipeline$'),
    ],
)
def test_variables_of_the_config_file_are_refused(cfg: Config, key: str, value: object, hint: str) -> None:
    before = cfg.to_dict()
    with pytest.raises(ValueError, match=f'--cfg-options {key}: .* is a variable .*{hint}'):
        apply_overrides(cfg, {key: value})
    assert cfg.to_dict() == before


@pytest.mark.parametrize('option', ['nothing', '=5', 'a=[1,2'])
def test_options_that_are_none(option: str) -> None:
    parser = ArgumentParser()
    add_launch_arguments(parser)
    with pytest.raises(ValueError, match='--cfg-options: .*' + re.escape(option)):
        parser.parse_args(['--cfg-options', 'x=1', option])
    assert parser.parse_args(['--cfg-options', 'a=[(1,b),c]', 'd=']).cfg_options == dict(a=[(1, 'b'), 'c'], d='')


def test_no_options_change_nothing(cfg: Config) -> None:
    before = cfg.to_dict()
    apply_overrides(cfg, None)
    assert cfg.to_dict() == before


@pytest.mark.parametrize('key', ['modle', 'optim_wraper', 'train_dataloadr', 'defult_hooks', 'allow_mising'])
def test_misspelt_key_of_a_config_is_refused(cfg: Config, key: str) -> None:
    cfg[key] = dict()
    with pytest.raises(ValueError, match=f"'{key}' is read by nothing; did you mean"):
        check_spelling(cfg)


def test_variables_of_a_config_are_left_alone(cfg: Config) -> None:
    cfg.update(dict(train_dataset=1, vis_backends=[], num_classes=3, test_pipeline=[], backend_args=None, classes=()))
    check_spelling(cfg)


@pytest.mark.parametrize(('key', 'value'), [('model.data_preprocessor.mean.0', 1.5), ('custom_hooks.0', 'x')])
def test_one_element_of_a_list(key: str, value: object) -> None:
    cfg = Config(dict(model=dict(data_preprocessor=dict(mean=[1.0, 2.0, 3.0])), custom_hooks=[dict(type='EMAHook')]))
    with pytest.raises(ValueError, match=rf'{key}: one element of a list cannot be replaced; give all of {key[:-2]}='):
        apply_overrides(cfg, {key: value})
    apply_overrides(cfg, {'custom_hooks.0': dict(momentum=0.1), 'custom_hooks.0.type': 'X'})
    assert cfg.custom_hooks == [dict(type='X', momentum=0.1)]
