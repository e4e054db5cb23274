"""A metric that asks for what samples do not have is named, with what they have."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.evaluator import BaseMetric
from tiny.ranks import needs_ranks, on_two_ranks

from xdet.engine.testing import evaluator as module
from xdet.engine.testing.evaluator import NamingEvaluator
from xdet.structures import XDetDataSample


class Greedy(BaseMetric):
    """Asks for one key of every sample."""

    def __init__(self, key: str, of: dict | None = None) -> None:
        super().__init__()
        self.key, self.of = key, of

    def process(self, data_batch: object, data_samples: list[dict]) -> None:
        for sample in data_samples:
            self.results.append((self.of if self.of is not None else sample)[self.key])

    def compute_metrics(self, results: list) -> dict:
        return dict(number=len(results))


def samples() -> list[XDetDataSample]:
    return [XDetDataSample(metainfo=dict(img_path='a.jpg', pred_captions=['x'], gt_rank=1))]


def test_the_line_names_metric_sample_and_fields() -> None:
    message = "Greedy: asks for 'gt_segments', which a.jpg does not have; its fields are gt_rank, pred_captions"
    with pytest.raises(ValueError, match=message):
        NamingEvaluator([Greedy('gt_segments')]).process(samples())


@pytest.mark.parametrize('metric', [Greedy('weight'), Greedy('gt_rank', of={})])
def test_other_errors_are_let_through(metric: Greedy) -> None:
    with pytest.raises(KeyError):
        NamingEvaluator([metric]).process(samples())


def test_good_metrics_get_everything() -> None:
    evaluator = NamingEvaluator([Greedy('gt_rank')])
    evaluator.process(samples())
    assert evaluator.evaluate(1) == dict(number=1)


class Failing(Greedy):
    def __init__(self, key: str, error: Exception | None = None, prefix: str | None = None) -> None:
        super().__init__(key)
        self.error, self.prefix = error or ValueError('too few'), prefix

    def compute_metrics(self, results: list) -> dict:
        raise self.error


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(module, 'print_log', lambda text, **_: lines.append(text))
    return lines


@pytest.mark.parametrize('error', [ValueError('too few'), RuntimeError('too few'), ImportError('too few')])
def test_a_metric_that_fails_takes_no_other_with_it(told: list[str], error: Exception) -> None:
    evaluator = NamingEvaluator([Failing('gt_rank', error, prefix='a'), Greedy('gt_rank'), Failing('gt_rank')])
    evaluator.process(samples())
    with pytest.raises(type(error), match='too few') as caught:
        evaluator.evaluate(1)
    assert caught.value is error
    assert told == ['Another metric failed, too: too few', 'Measured, although another metric failed: number: 1']
    assert not any(metric.results for metric in evaluator.metrics), 'the next validation would count them again'


def test_values_of_one_name(told: list[str]) -> None:
    evaluator = NamingEvaluator([Greedy('gt_rank'), Greedy('gt_rank')])
    evaluator.process(samples())
    with pytest.raises(ValueError, match='Greedy: number is a value of another metric; set its prefix'):
        evaluator.evaluate(1)
    assert told == ['Measured, although another metric failed: number: 1']


class Silent(Greedy):
    def compute_metrics(self, results: list) -> dict:
        return None


def test_a_metric_without_values_is_named(told: list[str]) -> None:
    with pytest.raises(ValueError, match='Silent: compute_metrics gives NoneType; it must give a dict'):
        NamingEvaluator([Silent('gt_rank')]).evaluate(1)


class Own(Greedy):
    def evaluate(self, size: int) -> dict:
        raise OSError('disk full')


def test_a_metric_with_an_evaluation_of_its_own(told: list[str]) -> None:
    evaluator = NamingEvaluator([Own('gt_rank'), Greedy('gt_rank')])
    evaluator.process(samples())
    with pytest.raises(OSError, match='disk full'):
        evaluator.evaluate(1)
    assert told == ['Measured, although another metric failed: number: 1']


@needs_ranks
def test_no_process_waits_for_a_metric_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where MMEngine exchanges results

    def run() -> list[str]:
        lines: list[str] = []
        monkeypatch.setattr(module, 'print_log', lambda text, **_: lines.append(text))
        evaluator = NamingEvaluator([Failing('gt_rank', RuntimeError('too few'), prefix='a'), Greedy('gt_rank')])
        evaluator.process(samples())
        with pytest.raises((RuntimeError, ValueError), match='too few'):
            evaluator.evaluate(2)
        return lines

    assert on_two_ranks(run, tmp_path / 'ranks') == [['Measured, although another metric failed: number: 2']] * 2
