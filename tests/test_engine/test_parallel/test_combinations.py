"""Options of a training that go together, and those that do not."""

from __future__ import annotations

import itertools

import pytest
from mmengine.config import Config

from xdet.cli.launch import choose_runner
from xdet.engine.parallel.combinations import TABLE, allowed, check_combinations, options_of
from xdet.engine.parallel.sharding import ShardedRunner
from xdet.engine.runner import XDetRunner

HALF = 'MixedPrecisionOptimWrapper'
OPTIONS = dict(
    fsdp=dict(fsdp=dict()),
    ema=dict(custom_hooks=[dict(type='EMAHook', momentum=0.1)]),
    lora=dict(lora=dict(r=4)),
    bf16=dict(optim_wrapper=dict(type=HALF, dtype='bfloat16')),
    fp16=dict(optim_wrapper=dict(type=HALF, dtype='float16')),
    accumulation=dict(optim_wrapper=dict(accumulative_counts=2)),
    compile=dict(compile=True),
    checkpointing=dict(model=dict(backbone=dict(with_cp=True))),
    load_from=dict(load_from='weights.pth'),
)


def together(*names: str) -> Config:
    cfg = Config()
    for name in names:
        cfg.merge_from_dict(OPTIONS[name])
    return cfg


@pytest.mark.parametrize('name', OPTIONS)
def test_options_are_recognised(name: str) -> None:
    assert options_of(together(name)) == (name,) and options_of(Config()) == ()
    check_combinations(together(name))
    assert choose_runner(together(name)) is (ShardedRunner if name == 'fsdp' else XDetRunner)


def test_the_table_is_whole_and_symmetric() -> None:
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    assert header == [row[0] for row in rows] == list(OPTIONS)
    assert all(allowed(a, b) == allowed(b, a) for a, b in itertools.combinations(OPTIONS, 2))


@pytest.mark.parametrize('pair', itertools.combinations(OPTIONS, 2), ids='-'.join)
def test_pairs_are_refused_as_the_table_says(pair: tuple[str, str]) -> None:
    if pair == ('bf16', 'fp16'):
        return  # one key cannot have both
    cfg = together(*pair)
    assert options_of(cfg) == pair
    if allowed(*pair):
        check_combinations(cfg)
        return
    with pytest.raises(ValueError, match=f'{pair[0]} and {pair[1]} do not go together: ') as caught:
        choose_runner(cfg)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(deepspeed=dict(zero_optimization=dict(stage=1))), 'deepspeed is not supported any more; use fsdp=dict'),
        (dict(optim_wrapper=dict(type='ZeroOptimWrapper')), 'deepspeed is not supported any more; use fsdp=dict'),
        (dict(strategy=dict(type='DeepSpeedStrategy')), 'strategy is for a runner of MMEngine.*accepted are fsdp'),
        (dict(runner_type='FlexibleRunner'), 'runner_type is for a runner of MMEngine.*DDP'),
        (dict(fsdp=True), 'fsdp is True; it must be a dict with any of modules, reshard_after_forward'),
        (dict(fsdp=dict(stage=2)), 'fsdp is .*stage.*; it must be a dict with any of modules'),
        (dict(fsdp=dict(), optim_wrapper=dict(type='ApexOptimWrapper')), 'fsdp: optim_wrapper is ApexOptimWrapper'),
        (dict(auto_scale_lr=dict(enable=True, base_batch_size=0)), 'base_batch_size is 0; accepted are whole numbers'),
        (dict(auto_scale_lr=dict(enable=True, base_batch_size='x')), "base_batch_size is 'x'; accepted are whole"),
        (dict(optim_wrapper='x'), "optim_wrapper is 'x'; it must be a dict"),
        (dict(optim_wrapper=dict(accumulative_counts=0)), 'accumulative_counts is 0; accepted are whole numbers from'),
        (dict(optim_wrapper=dict(accumulative_counts='x')), "accumulative_counts is 'x'; accepted are"),
        (dict(optim_wrapper=dict(accumulative_counts=True)), 'accumulative_counts is True; accepted are'),
    ],
)
def test_what_cannot_be_meant_is_named(cfg: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_runner(Config(cfg))
