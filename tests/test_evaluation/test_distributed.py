"""Every metric gives the same numbers, to the last bit, on 1, 2 and 3 ranks with uneven shards."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from tiny.ranks import needs_ranks, on_ranks
from tiny.tools import load_script

from xdet.evaluation import (
    CaptionMatch,
    CaptionQuality,
    InstanceAP,
    PanopticQuality,
    ReferringIoU,
    RegionCaptionMatch,
    RetrievalRecall,
    SemanticIoU,
    VQAAccuracy,
)

BATCH = 2


def metrics(ann_file: str) -> list:
    return [
        PanopticQuality(classwise=True),
        SemanticIoU(classwise=True),
        InstanceAP(ann_file, classwise=True),
        ReferringIoU(),
        CaptionMatch(prefix='match'),
        CaptionQuality(tokenizer='python'),
        RegionCaptionMatch(),
        RetrievalRecall(ks=(1, 3)),
        VQAAccuracy(),
    ]


@needs_ranks
@pytest.mark.parametrize('round_up', [True, False])
def test_ranks_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, round_up: bool) -> None:
    monkeypatch.chdir(tmp_path)  # where MMEngine exchanges results
    module = load_script('benchmarks/metric_agreement.py')
    samples = module.random_samples(7, crowds=True)  # 7 = 4 + 3 = 3 + 2 + 2, or 4 + 4 and 3 + 3 + 3 with repetitions
    ann_file = module.write_instances(samples, tmp_path / 'instances.json')

    def run() -> dict[str, float]:
        evaluator = Evaluator(metrics(ann_file))
        evaluator.dataset_meta = module.META
        indices = list(DefaultSampler(samples, shuffle=False, seed=0, round_up=round_up))
        for start in range(0, len(indices), BATCH):
            evaluator.process([samples[index] for index in indices[start : start + BATCH]])
        return evaluator.evaluate(len(samples))

    alone = run()
    assert len(alone) > 60 and len({name.split('/')[0] for name in alone}) == 9
    assert sum(0 < value < 100 for value in alone.values()) > 30
    for count in (2, 3):
        for result in on_ranks(run, tmp_path / str(count), count):
            assert result.keys() == alone.keys()
            different = [name for name in alone if not _same(result[name], alone[name])]
            assert not different


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
