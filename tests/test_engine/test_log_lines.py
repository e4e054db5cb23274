"""Training lines have sums per kind of loss; every loss is in the values."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace
from unittest import mock

import pytest
from mmengine.runner import LogProcessor

from xdet.engine.log_lines import XDetLogProcessor, outlive_readers

LINE = (
    'Iter(train) [ 10/300]  base_lr: 5.0000e-04 lr: 5.0000e-04  eta: 0:01:00  time: 0.5000  data_time: 0.0100  '
    'memory: 900  loss: 9.5000  coco.loss: 6.0000  loss_cls: 1.0000  d0.loss_cls: 2.0000  coco.d1.loss_grounding_mask: '
    '3.0000  pairs.loss_retrieval_backbone: 0.5000  grad_norm: 4.0000'
)
VALUES = {
    'loss': 9.5, 'coco.loss': 6.0, 'loss_cls': 1.0, 'd0.loss_cls': 2.0, 'coco.d1.loss_grounding_mask': 3.0,
    'pairs.loss_retrieval_backbone': 0.5, 'grad_norm': 4.0, 'lr': 5e-4, 'time': 0.5, 'iter': 10,
}  # fmt: skip


@pytest.fixture
def upstream(request: pytest.FixtureRequest):
    values = {f'{request.param}{name}': value for name, value in VALUES.items()}
    with mock.patch.object(LogProcessor, 'get_log_after_iter', return_value=(values, LINE)):
        yield values


@pytest.mark.parametrize('upstream', ['', 'train/'], indirect=True)
def test_sums_of_kinds(upstream: dict) -> None:
    values, line = XDetLogProcessor(by_epoch=False).get_log_after_iter(SimpleNamespace(), 0, 'train')
    assert values == upstream
    assert line.split('  ') == [
        'Iter(train) [ 10/300]', 'base_lr: 5.0000e-04 lr: 5.0000e-04', 'eta: 0:01:00', 'time: 0.5000',
        'data_time: 0.0100', 'memory: 900', 'loss: 9.5000', 'coco.loss: 6.0000', 'grad_norm: 4.0000',
        'cls: 3.0000', 'grounding: 3.0000', 'retrieval: 0.5000',
    ]  # fmt: skip


@pytest.mark.parametrize('upstream', [''], indirect=True)
@pytest.mark.parametrize(('details', 'mode'), [(True, 'train'), (False, 'val')])
def test_other_lines_stay(upstream: dict, details: bool, mode: str) -> None:
    processor = XDetLogProcessor(details=details, by_epoch=False)
    assert processor.get_log_after_iter(SimpleNamespace(), 0, mode)[1] == LINE


def test_a_log_outlives_the_reader_of_its_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, 'w') as pipe:
        logger = logging.Logger('of a training')
        logger.addHandler(logging.StreamHandler(pipe))
        outlive_readers(logger)
        for _ in range(3):
            logger.info('a line')
        print('what a program prints', file=pipe, flush=True)
        logger.info('%d', 'no number')
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith('takes no more lines (Broken pipe); the work goes on')
    assert told[1] == '--- Logging error ---'  # mistakes of programs are told as ever


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full')
def test_a_full_disk_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    full = open('/dev/full', 'w')  # noqa: SIM115  closing it fails
    logger = logging.Logger('of a training')
    logger.addHandler(logging.StreamHandler(full))
    outlive_readers(logger)
    for _ in range(3):
        logger.info('a line')
    with pytest.raises(OSError):
        full.close()
    assert capsys.readouterr().err.count('No space left on device') == 1
