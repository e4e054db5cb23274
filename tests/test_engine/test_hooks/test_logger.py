from types import SimpleNamespace
from unittest import mock

import pytest
from mmengine.registry import DefaultScope

from xdet.engine.hooks import logger
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
