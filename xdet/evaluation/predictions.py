"""All that a model predicts, for other programs in Python."""

from __future__ import annotations

import pickle
from typing import Any

from mmdet.evaluation import DumpDetResults
from mmengine.logging import print_log

from xdet.io.writing import replacing
from xdet.registry import METRICS


@METRICS.register_module()
class DumpPredictions(DumpDetResults):
    """Writes predictions into a pickle file as :class:`mmdet.evaluation.DumpDetResults` does, whole or not at all."""

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Write the file; nothing is measured.

        Raises:
            OSError: It cannot be written.
        """
        with replacing(self.out_file_path) as file:
            pickle.dump(results, file, protocol=2)
        print_log(f'Results are saved in {self.out_file_path}.', logger='current')
        return {}
