"""MMEngine's evaluator, which says what a metric asked for in vain, and loses nothing when one fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from xdet.io.errors import cause

_FIELDS = ('gt_', 'pred_')
_FAILED = '(failed)'
"""Name of the value that says why a metric has none."""


class NamingEvaluator(Evaluator):
    """Evaluator under which a metric that asks a sample for a field it does not have ends in one line."""

    def process(self, data_samples: Sequence[BaseDataElement], data_batch: Any = None) -> None:
        """Hand a batch to every metric.

        Raises:
            ValueError: A metric asks for a field that the samples do not have.
        """
        samples = [sample.to_dict() if isinstance(sample, BaseDataElement) else sample for sample in data_samples]
        for metric in self.metrics:
            try:
                metric.process(data_batch, samples)
            except KeyError as error:
                field = str(error.args[0]) if error.args else ''
                lacking = next((sample for sample in samples if field not in sample), None)
                if not field.startswith(_FIELDS) or lacking is None:
                    raise
                name = lacking.get('img_path', 'the sample')
                found = ', '.join(sorted(key for key in lacking if key.startswith(_FIELDS))) or 'none'
                raise ValueError(
                    f"{type(metric).__name__}: asks for '{field}', which {name} does not have; its fields are {found} "
                    '(docs/plugins.md lists those of training and of testing)'
                ) from error

    def evaluate(self, size: int) -> dict[str, Any]:
        """Values of all metrics; see :meth:`mmengine.evaluator.Evaluator.evaluate`.

        A metric is computed by the first process alone, whose error reaches all of them in place of its values. So no
        process waits for another, and the metrics that follow are computed.

        Raises:
            Exception: That of the first metric that cannot be computed, on other processes than the first ValueError
                with its message. What can be measured, and errors of further metrics, are logged before.
            ValueError: Two metrics give a value one name.
        """
        values: dict[str, Any] = {}
        failures: list[Exception] = []
        for metric in self.metrics:
            found = _values_of(metric, size)
            if isinstance(found, Exception):
                failures.append(found)
            elif twice := values.keys() & found.keys():
                name = f'{type(metric).__name__}: {min(twice)}'
                failures.append(ValueError(f'{name} is a value of another metric; set its prefix'))
            else:
                values.update(found)
        for failure in failures[1:]:
            print_log(f'Another metric failed, too: {cause(failure)}', logger='current', level=logging.WARNING)
        if failures:
            if values:
                told = '  '.join(f'{name}: {value}' for name, value in values.items())
                print_log(f'Measured, although another metric failed: {told}', logger='current')
            raise failures[0]
        return values


def _values_of(metric: BaseMetric, size: int) -> dict[str, Any] | Exception:
    """Values of a metric, or why it has none: the same on all processes."""
    compute = metric.compute_metrics
    failure: Exception | None = None

    def told(results: list) -> dict[str, Any]:
        nonlocal failure
        try:
            found = compute(results)
            if not isinstance(found, dict):
                raise ValueError(
                    f'{type(metric).__name__}: compute_metrics gives {type(found).__name__}; it must give a dict'
                )
        except Exception as error:
            failure = error
            return {_FAILED: cause(error)}
        return found

    metric.compute_metrics = told
    try:
        found: dict[str, Any] = metric.evaluate(size)
    except Exception as error:  # of a metric with an evaluation of its own
        if get_world_size() > 1:
            raise  # the others wait within it
        return error
    finally:
        metric.compute_metrics = compute
    message = next((value for name, value in found.items() if name.rpartition('/')[2] == _FAILED), None)
    return found if message is None else failure or ValueError(message)
