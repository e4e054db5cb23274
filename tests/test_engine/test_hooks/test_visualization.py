"""Images of predictions: of every image and process, beside the ground truth, in a test or in validations."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmengine.visualization import LocalVisBackend
from PIL import Image

from xdet.engine.hooks import DrawPredictionsHook, visualization
from xdet.engine.hooks.visualization import TRACKED
from xdet.structures import Vocabulary, XDetDataSample
from xdet.visualization import XDetLocalVisualizer


@pytest.fixture
def runner(tmp_path: Path) -> SimpleNamespace:
    logger = logging.getLogger('test_visualization')
    return SimpleNamespace(
        work_dir=tmp_path, timestamp='now', iter=100, visualizer=XDetLocalVisualizer(min_size=16), logger=logger
    )


def batch(number: int, ground_truth: bool = True) -> tuple[dict, list[XDetDataSample]]:
    instances = InstanceData(masks=torch.ones(1, 16, 16).bool(), labels=torch.zeros(1).long(), bboxes=torch.ones(1, 4))
    samples = []
    for _ in range(number):
        sample = XDetDataSample(metainfo=dict(ori_shape=(16, 16), vocabulary=Vocabulary(('ball',), (True,))))
        sample.pred_instances = InstanceData(scores=torch.ones(1), **dict(instances.items()))
        if ground_truth:
            sample.gt_instances = instances
        samples.append(sample)
    return dict(inputs=[torch.zeros(3, 16, 16, dtype=torch.uint8)] * number), samples


def drawn(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*.png'))


def test_every_image_of_a_test_is_drawn_beside_its_ground_truth(
    runner: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hook = DrawPredictionsHook('show')
    for index in range(2):
        hook.after_test_iter(runner, index, *batch(2))
        hook.after_val_iter(runner, index, *batch(2))
    assert drawn(tmp_path / 'now/show') == [f'picture_{i}_{j}.png' for i in (0, 1) for j in (0, 1)]
    with Image.open(tmp_path / 'now/show/picture_0_0.png') as image:
        assert image.width > 2 * image.height
    with caplog.at_level(logging.INFO):
        hook.after_test_epoch(runner)
    assert f'predictions are drawn in {tmp_path / "now/show"}' in caplog.text
    assert 'without ground truth' not in caplog.text


def test_validations_have_folders_of_their_own(runner: SimpleNamespace, tmp_path: Path) -> None:
    hook = DrawPredictionsHook('show', interval=2, during='val')
    for runner.iter in (100, 200):
        for index in range(3):
            hook.after_val_iter(runner, index, *batch(1))
            hook.after_test_iter(runner, index, *batch(1))
    names = [f'iter_{step}/picture_{index}_0.png' for step in (100, 200) for index in (0, 2)]
    assert drawn(tmp_path / 'now/show') == names


def test_trackers_get_some_images_of_every_validation(runner: SimpleNamespace) -> None:
    tracker = SimpleNamespace(add_image=mock.Mock())
    runner.visualizer._vis_backends = dict(local=LocalVisBackend('unused'), tracker=tracker)
    hook = DrawPredictionsHook('show', interval=2, during='val')
    for runner.iter in (100, 200):
        for index in range(12):
            hook.after_val_iter(runner, index, *batch(3))
    told = [(call.args[0], call.args[2]) for call in tracker.add_image.call_args_list]
    names = [f'show/picture_{index}_{position}' for index in (0, 2, 4) for position in range(3)][:TRACKED]
    assert told == [(name, step) for step in (100, 200) for name in names]
    picture = tracker.add_image.call_args.args[1]
    assert picture.dtype == np.uint8 and picture.shape[1] > 2 * picture.shape[0]


def test_processes_do_not_replace_the_images_of_others(
    runner: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = DrawPredictionsHook('show')
    for rank in (0, 1):
        monkeypatch.setattr(visualization, 'get_dist_info', lambda rank=rank: (rank, 2))
        hook.after_test_iter(runner, 0, *batch(1))
    assert drawn(tmp_path / 'now/show') == ['picture_0_0.png', 'picture_1_0.png']


def test_missing_ground_truth_is_said_once(runner: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    hook = DrawPredictionsHook('show')
    for index in range(2):
        hook.after_test_iter(runner, index, *batch(2, ground_truth=False))
    assert caplog.text.count('its pipeline lacks LoadSegments') == 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [(dict(during='train'), "during is 'train'; accepted are test, val"), (dict(interval=0), 'interval is 0')],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DrawPredictionsHook('show', **options)
