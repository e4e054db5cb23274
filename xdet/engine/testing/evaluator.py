"""MMEngine's evaluator, which says what a metric asked for in vain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import Evaluator
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
