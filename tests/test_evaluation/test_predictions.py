"""Files of predictions are written whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from xdet.registry import METRICS


def test_predictions_are_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / 'p.pkl'
    metric = METRICS.build(dict(type='DumpPredictions', out_file_path=str(path)))
    assert metric.compute_metrics([dict(a=1)]) == {} and pickle.loads(path.read_bytes()) == [dict(a=1)]
    with pytest.raises((AttributeError, pickle.PicklingError)):
        metric.compute_metrics([dict(a=1), lambda: 0])
    assert pickle.loads(path.read_bytes()) == [dict(a=1)] and list(tmp_path.iterdir()) == [path]
