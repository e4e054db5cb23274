"""MMEngine's evaluator, which says what a metric asked for in vain, and loses nothing when one fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

_FIELDS = ('gt_', 'pred_')


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

        Raises:
            ValueError: A metric cannot be computed; those that can are logged before. Or two give a value one name.
        """
        values: dict[str, Any] = {}
        failed: ValueError | None = None
        for metric in self.metrics:
            try:
                found = metric.evaluate(size)
            except ValueError as error:
                failed = failed or error
                if get_world_size() > 1:
                    break  # other processes wait for this metric
                continue
            if twice := values.keys() & found.keys():
                raise ValueError(f'{type(metric).__name__}: {min(twice)} is a value of another metric; set its prefix')
            values.update(found)
        if failed is not None:
            if values:
                told = '  '.join(f'{name}: {value}' for name, value in values.items())
                print_log(f'Measured, although another metric failed: {told}', logger='current')
            raise failed
        return values
