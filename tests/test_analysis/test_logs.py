import json

import numpy as np
import pytest

from xdet.analysis.logs import choose_keys, draw_curves, read_log, smooth, time_statistics


def write(folder, entries, more=''):
    path = folder / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(entry) for entry in entries) + more)
    return path


def step(number, loss=1.0, time=2.0, data_time=0.5):
    return dict(step=number, iter=number, loss=loss, time=time, data_time=data_time)


def test_validations_get_the_iteration_before_them(tmp_path):
    # MMEngine's own hook writes step 0 for all validations of an iteration-based training.
    write(tmp_path / 'run' / '1', [step(10), dict(step=0, PQ=5.0), step(20), dict(step=25, PQ=7.0)])
    log = read_log(tmp_path / 'run')
    steps, values = log.curve('PQ')
    assert steps.tolist() == [10, 25] and values.tolist() == [5, 7]
    assert log.name == 'run' and log.keys == ['PQ', 'data_time', 'iter', 'loss', 'time']


def test_starts_of_a_resumed_training_are_joined(tmp_path):
    write(tmp_path / '20260101', [step(10, 3), step(20, 2), dict(step=0, PQ=1.0), step(30, 9)])
    write(tmp_path / '20260102', [step(20, 2.5), step(40, 1), dict(step=0, PQ=2.0)])
    log = read_log(tmp_path)
    assert dict(zip(*map(list, log.curve('loss')), strict=True)) == {10: 3, 20: 2.5, 40: 1}
    assert log.curve('PQ')[1].tolist() == [2.0]


def test_a_line_cut_off_by_a_kill_is_ignored(tmp_path):
    path = write(tmp_path, [step(10)], '\n{"step": 2')
    assert len(read_log(path).train) == 1


def test_times(tmp_path):
    entries = [step(10, time=100.0), step(20, time=1.0, data_time=0.1), step(30, time=3.0, data_time=0.3)]
    write(tmp_path, entries)
    found = time_statistics(read_log(tmp_path))
    assert found['mean'] == 2 and found['slowest'] == 3 and found['slowest_step'] == 30
    assert found['waiting_share'] == pytest.approx(10) and found['hours'] == pytest.approx(2 * 30 / 3600)
    with pytest.raises(ValueError, match='3 logged entries have times, of which 3 are skipped'):
        time_statistics(read_log(tmp_path), skip=3)


def test_smoothing():
    np.testing.assert_allclose(smooth(np.array([1.0, 3.0, 5.0, 7.0]), 2), [1, 2, 4, 6])
    assert smooth(np.array([1.0]), 5).tolist() == [1]


def test_curves(tmp_path):
    write(tmp_path / 'a', [step(10), step(20), dict(step=0, PQ=3.0)])
    log = read_log(tmp_path / 'a')
    keys = choose_keys([log], ['lo*', 'PQ', 'loss'])
    assert keys == ['loss', 'PQ']
    draw_curves([log, log], keys, tmp_path / 'new' / 'curves.png', log_scale=True)
    assert (tmp_path / 'new' / 'curves.png').stat().st_size > 5000
    with pytest.raises(ValueError, match="no logged value matches 'los'; there are PQ, data_time"):
        choose_keys([log], ['los'])


@pytest.mark.parametrize(
    ('text', 'message'),
    [('no json\n{}', 'line 1 is not JSON'), ('[1]', 'is not an object'), ('{"step": 1, "PQ": 2}', 'logs no training')],
)
def test_other_files(tmp_path, text, message):
    path = tmp_path / 'log.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_log(path)
    with pytest.raises(FileNotFoundError, match='no folder with vis_data/scalars.json'):
        read_log(tmp_path / 'nothing')
