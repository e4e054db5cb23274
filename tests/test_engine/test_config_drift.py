"""A resumed training says what changed in its config, and reads the old one as text only."""

from unittest import mock

from mmengine.config import Config

from xdet.engine.config_drift import config_drift
from xdet.engine.runner import XDetRunner


def text(**changes):
    config = Config(dict(lr=0.1, model=dict(type='A', width=8), work_dir='one', resume=False))
    config.merge_from_dict(changes)
    return config.pretty_text


def test_equal_configs_and_paths_of_the_run_are_no_drift():
    assert config_drift(text(), text()) == []
    assert config_drift(text(), text(work_dir='other', resume=True)) == []


def test_changed_lines_are_shown():
    assert config_drift(text(), text(lr=0.2)) == ['- lr = 0.1', '+ lr = 0.2']
    changed = config_drift(text(), text(**{'model.width': 16}))
    assert any('width=8' in line and line[0] == '-' for line in changed)
    assert any('width=16' in line and line[0] == '+' for line in changed)


def test_many_changes_are_counted():
    many = text(**{f'key{index}': index for index in range(50)})
    drift = config_drift(text(), many)
    assert len(drift) == 21 and drift[-1] == '... and 30 more'


def test_the_old_config_is_never_run(tmp_path):
    marker = tmp_path / 'ran'
    config_drift(f'open({str(marker)!r}, "w")', text())
    assert not marker.exists()


def test_the_runner_warns_with_the_file_and_the_lines():
    runner = mock.Mock(cfg=Config(dict(lr=0.2)))
    XDetRunner._report_drift(runner, dict(cfg=Config(dict(lr=0.1)).pretty_text), 'iter_5.pth')
    (message,) = runner.logger.warning.call_args.args
    assert 'iter_5.pth' in message and '- lr = 0.1' in message and '+ lr = 0.2' in message
    XDetRunner._report_drift(runner, dict(cfg=Config(dict(lr=0.2)).pretty_text), 'iter_5.pth')
    XDetRunner._report_drift(runner, {}, 'iter_5.pth')  # made by a runner without a config
    assert runner.logger.warning.call_count == 1
