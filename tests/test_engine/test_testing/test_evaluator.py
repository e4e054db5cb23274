"""A metric that asks for what samples do not have is named, with what they have."""

from __future__ import annotations

import pytest
from mmengine.evaluator import BaseMetric

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
    def compute_metrics(self, results: list) -> dict:
        raise ValueError('too few')


def test_a_metric_that_fails_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(module, 'print_log', lambda text, **_: told.append(text))
    evaluator = NamingEvaluator([Failing('gt_rank'), Greedy('gt_rank')])
    evaluator.process(samples())
    with pytest.raises(ValueError, match='too few'):
        evaluator.evaluate(1)
    assert told == ['Measured, although another metric failed: number: 1']


def test_values_of_one_name() -> None:
    evaluator = NamingEvaluator([Greedy('gt_rank'), Greedy('gt_rank')])
    evaluator.process(samples())
    with pytest.raises(ValueError, match='Greedy: number is a value of another metric; set its prefix'):
        evaluator.evaluate(1)
