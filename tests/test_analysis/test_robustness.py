import pytest
import torch

from xdet.analysis.robustness import ScalePackedInputs, draw_curves, robustness_table, scaled_dataset
from xdet.structures import XDetDataSample


def test_sizes_of_resizing_steps_are_multiplied():
    steps = [
        dict(type='LoadXDetImage'),
        dict(type='ResizeShortestEdge', scale=800, max_size=1333),
        dict(type='mmdet.Resize', scale=(224, 100), keep_ratio=False),
    ]
    dataset = dict(type='SeededDataset', dataset=dict(type='X', pipeline=steps))
    scaled = scaled_dataset(dataset, 0.5)['dataset']['pipeline']
    assert scaled[1]['scale'] == 400 and scaled[1]['max_size'] == 666
    assert scaled[2]['scale'] == (112, 50)
    assert steps[1]['scale'] == 800, 'the config is left as it is'
    assert scaled_dataset(dataset, 1.0) == dataset


def test_a_pipeline_without_resizing_gets_a_step():
    dataset = dict(type='ScenesDataset', pipeline=[dict(type='RenderScene'), dict(type='PackXDetInputs')])
    assert scaled_dataset(dataset, 1) == dataset
    assert scaled_dataset(dataset, 2)['pipeline'][-1] == dict(type=ScalePackedInputs, factor=2)


def test_packed_inputs_are_resized():
    sample = XDetDataSample(metainfo=dict(ori_shape=(6, 9), img_shape=(6, 9)))
    found = ScalePackedInputs(2.0)(dict(inputs=torch.full((3, 6, 9), 7, dtype=torch.uint8), data_samples=sample))
    assert found['inputs'].shape == (3, 12, 18) and (found['inputs'] == 7).all()
    assert sample.img_shape == (12, 18) and sample.ori_shape == (6, 9)


@pytest.mark.parametrize(
    ('dataset', 'factor', 'message'),
    [
        (dict(pipeline=[]), 0, 'factor 0 must be greater than 0'),
        (dict(type='X'), 2, 'data set X has no pipeline'),
        (dict(pipeline=[dict(type='RandomResize', ratio=2)]), 2, 'RandomResize states none of scale, max_size'),
    ],
)
def test_mistakes(dataset, factor, message):
    with pytest.raises(ValueError, match=message):
        scaled_dataset(dataset, factor)


def test_table_and_picture(tmp_path):
    results = {0.5: dict(PQ=40.0), 1.0: dict(PQ=50.0), 2.0: {}}
    header, rows = robustness_table(results, ['PQ'])
    assert header == ['value', 'x 0.5', 'x 1', 'x 2', 'largest loss'] and rows == [['PQ', 40.0, 50.0, None, 10.0]]
    draw_curves(results, ['PQ'], tmp_path / 'new' / 'curves.png', 'title')
    assert (tmp_path / 'new' / 'curves.png').stat().st_size > 5000
