"""Captions of regions against references."""

import pytest

from xdet.evaluation import RegionCaptionMatch


def evaluate(sample: dict) -> dict[str, float]:
    metric = RegionCaptionMatch()
    metric.process(None, [sample])
    return metric.compute_metrics(metric.results)


def test_regions_count_one_by_one() -> None:
    rows = [[dict(text='a red circle', score=0.0)], [dict(text='a blue heart', score=0.0), dict(text='x', score=-1.0)]]
    sample = dict(pred_region_captions=rows, region_captions=('a red circle', 'a blue square'))
    found = evaluate(sample)
    assert found['exact'] == 50 and 0 < found['CIDEr-D'] < 1000
    with pytest.raises(ValueError, match='2 regions are described but 3 are known'):
        evaluate(dict(sample, region_captions=('a red circle', 'one', 'two')))


def test_regions_of_all_images_count() -> None:
    """MMEngine keeps as many results as there are images; an image has several regions."""
    metric = RegionCaptionMatch()
    sample = dict(pred_region_captions=[[dict(text='a')], []], region_captions=('a', 'b'))
    metric.process(None, [sample, sample])
    assert len(metric.results) == 2 and metric.evaluate(size=2)['region_caption/exact'] == 50
