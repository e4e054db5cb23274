from types import SimpleNamespace
from unittest import mock

import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import LogProcessor

from xdet.engine.hooks import logger
from xdet.engine.log_lines import XDetLogProcessor
from xdet.registry import HOOKS


def test_configs_get_it_by_its_name():
    with DefaultScope.overwrite_default_scope('xdet'):
        assert type(HOOKS.build(dict(type='LoggerHook', interval=3))) is logger.LoggerHook


@pytest.mark.parametrize(('rank', 'writes'), [(0, 1), (1, 0)])
def test_one_process_writes_the_results_of_a_test(rank, writes, monkeypatch, tmp_path):
    monkeypatch.setattr(logger, 'is_main_process', lambda: rank == 0)
    hook = logger.LoggerHook()
    hook.json_log_path = 'results.json'
    processor = SimpleNamespace(get_log_after_epoch=lambda *_, **__: ({'mIoU': 1.0}, 'mIoU: 1'))
    runner = SimpleNamespace(
        log_processor=processor, test_dataloader=[1], logger=mock.Mock(), log_dir=str(tmp_path), rank=rank
    )
    hook.after_test_epoch(runner)
    assert len(list(tmp_path.iterdir())) == writes == runner.logger.info.call_count


@pytest.mark.parametrize(('by_epoch', 'step'), [(False, 40), (True, 2)])
def test_validations_stand_where_the_training_was(by_epoch, step):
    processor = XDetLogProcessor(by_epoch=by_epoch)
    values = {'mIoU': 1.0, 'time': 0.2, 'data_time': 0.1}
    runner = SimpleNamespace(
        log_processor=processor, val_dataloader=[1], logger=mock.Mock(), visualizer=mock.Mock(), timestamp='now',
        _train_loop=SimpleNamespace(), iter=40, epoch=2,
    )  # fmt: skip
    hook = logger.LoggerHook()
    hook.before_run(runner)
    with mock.patch.object(LogProcessor, 'get_log_after_epoch', return_value=(values, 'mIoU: 1')):
        hook.after_val_epoch(runner)
    logged = runner.visualizer.add_scalars.call_args
    assert logged.args == ({'mIoU': 1.0, 'val/time': 0.2, 'val/data_time': 0.1},) and logged.kwargs['step'] == step
