"""Poses from object queries: what learns, what is predicted, and a whole run from training to pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from parity.model import sample_of
from PIL import Image
from test_tasks.conftest import tiny_model
from tiny.poses import KEYPOINTS, TinyPoses
from tiny.tools import ROOT, run_tool

from xdet.apis import XDecoderInferencer
from xdet.registry import MODELS, TASKS
from xdet.structures import FORMATS, Vocabulary, XDetDataSample
from xdet.tasks import PoseTask

ANIMALS = Vocabulary.from_prompts(things='dog . chair', stuff='grass')
POSE = dict(
    type='PoseTask', keypoints=KEYPOINTS, skeleton=[('nose', 'tail')], embed_dims=128, min_score=0.0,
    head=dict(backbone_channels=(8, 16), channels=16, grid_size=8), matcher=dict(num_points=64),
    loss=dict(type='KeypointLoss'), max_per_image=4,
)  # fmt: skip
CONFIG = ROOT / 'tests' / 'tiny' / 'pose_run.py'


def sample(image: torch.Tensor, posed: list[int] | None = None, **options) -> XDetDataSample:
    """Two segments, of which the first has the points of a dog unless ``posed`` says otherwise."""
    made = sample_of(image, None, vocabulary=ANIMALS, **options)
    height, width = image.shape[-2:]
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    masks[0, :, : width // 2] = masks[1, :, width // 2 :] = True
    made.gt_segments = InstanceData(masks=masks, labels=torch.tensor([0, 1]))
    if posed is not None:
        points = torch.zeros(2, 4, 3)
        points[0, :3] = torch.tensor([[5.0, 5, 2], [15, 5, 2], [10, 10, 1]])
        made.gt_segments.keypoints = points
        made.gt_segments.posed = torch.tensor(posed, dtype=torch.int8)
        made.gt_segments.set_metainfo(dict(keypoint_names=KEYPOINTS))
    return made


def losses_of(model, images, samples):
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    return model(**data, mode='loss')


def pose_losses(losses: dict) -> dict:
    return {name: loss for name, loss in losses.items() if name in ('loss_keypoints', 'loss_visible', 'loss_posed')}


def test_only_the_pose_task_learns_from_its_losses(picture) -> None:
    model = tiny_model(pose=POSE).train()
    images = [picture(64, 64), picture(40, 60, 1)]
    losses = pose_losses(losses_of(model, images, [sample(images[0], [1, 0]), sample(images[1])]))
    assert len(losses) == 3 and all(float(loss) > 0 for loss in losses.values())
    sum(losses.values()).backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, _ in model.named_parameters() if name.startswith('tasks.pose.')}


def test_without_detaching_the_whole_path_learns(picture) -> None:
    model = tiny_model(pose=dict(POSE, detach=False)).train()
    image = picture(64, 64)
    sum(pose_losses(losses_of(model, [image], [sample(image, [1, 0])])).values()).backward()
    for path in ('backbone', 'pixel_decoder', 'decoder.query_feat', 'decoder.layers', 'tasks.pose'):
        parts = [parameter for name, parameter in model.named_parameters() if name.startswith(path)]
        assert any(parameter.grad is not None and parameter.grad.any() for parameter in parts), path


@pytest.mark.parametrize(('posed', 'zero'), [([0, 0], {'loss_keypoints', 'loss_visible'}), ([-1, -1], None)])
def test_segments_without_keypoints(picture, posed: list[int], zero: set[str] | None) -> None:
    """Those of a class without keypoints say that there are none; of those that may have some nothing is learned."""
    image = picture(64, 64)
    losses = pose_losses(losses_of(tiny_model(pose=POSE).train(), [image], [sample(image, posed)]))
    assert {name for name, loss in losses.items() if float(loss) == 0} == (zero or set(losses))
    sum(losses.values()).backward()


def test_other_losses_stay_as_they_are(picture) -> None:
    image = picture(64, 64)
    found = []
    for tasks in ({}, dict(pose=POSE)):
        model = tiny_model(**tasks).train()
        torch.manual_seed(1)
        found.append(losses_of(model, [image], [sample(image, [1, 0])]))
    for name, loss in found[0].items():
        torch.testing.assert_close(found[1][name], loss, rtol=0, atol=0)


def test_it_learns_where_points_are(picture) -> None:
    model = tiny_model(pose=POSE).train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith('tasks.pose.'))
    image = picture(64, 64)
    optimizer = torch.optim.Adam(model.tasks['pose'].parameters(), lr=1e-2)
    history = []
    for _ in range(25):
        given = sample(image, [1, 0], tasks=('pose',))
        torch.manual_seed(0)
        losses = losses_of(model, [image], [given])
        assert losses.keys() == {'loss_keypoints', 'loss_visible', 'loss_posed'}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append(float(sum(losses.values())))
    assert history[-1] < 0.75 * history[0]  # a Gaussian of one cell has an entropy of 2.8


def test_names_must_be_those_of_the_model(picture) -> None:
    image = picture(64, 64)
    given = sample(image, [1, 0])
    given.gt_segments.set_metainfo(dict(keypoint_names=KEYPOINTS[::-1]))
    with pytest.raises(ValueError, match=r'in the order of the model, in LoadKeypoints\(keypoints=...\)'):
        losses_of(tiny_model(pose=POSE), [image], [given])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(keypoints=()), 'needed are names, each once'),
        (dict(keypoints=('a', 'a')), 'needed are names, each once'),
        (dict(skeleton=[('nose', 'wing')]), 'accepted are pairs of'),
        (dict(skeleton=[('nose',)]), 'accepted are pairs of'),
    ],
)
def test_options_that_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS.build(dict(POSE, **options))


@pytest.fixture(scope='module')
def model():
    return tiny_model(pose=POSE).eval()


def predicted(model, image: torch.Tensor, ori_shape: tuple[int, int] | None = None) -> InstanceData:
    given = sample_of(image, None, vocabulary=ANIMALS, tasks=('instance', 'pose'))
    if ori_shape is not None:
        given.set_metainfo(dict(ori_shape=ori_shape))
    data = model.data_preprocessor(dict(inputs=[image], data_samples=[given]), training=False)
    [made] = model(**data, mode='predict')
    return made


def test_predictions_are_in_the_original_size(model, picture) -> None:
    image = picture(64, 96)
    small, large = (predicted(model, image, size).pred_poses for size in (None, (128, 288)))
    assert 0 < len(small) <= 4 and small.keypoints.shape[1:] == (4, 2) and small.keypoint_scores.shape[1:] == (4,)
    assert (small.scores[:-1] >= small.scores[1:]).all() and ((small.scores > 0) & (small.scores < 1)).all()
    assert large.masks.shape[1:] == (128, 288) and small.keypoint_names == KEYPOINTS and small.skeleton == ((2, 3),)
    best = (large.keypoints / torch.tensor([3.0, 2.0]))[:, None] - small.keypoints[None]
    assert (best.abs().amax((2, 3)).amin(0) < 1e-3).all()  # the same points, perhaps in another order
    torch.testing.assert_close(small.bboxes[:, :2] <= small.bboxes[:, 2:], torch.ones(len(small), 2, dtype=torch.bool))


def test_neighbours_in_the_batch_do_not_matter(model, picture) -> None:
    images = [picture(64, 96), picture(64, 96, 1)]
    samples = [sample_of(image, None, vocabulary=ANIMALS, tasks=('instance', 'pose')) for image in images]
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=False)
    together = model(**data, mode='predict')
    for image, made in zip(images, together, strict=True):
        torch.testing.assert_close(made.pred_poses.keypoints, predicted(model, image).pred_poses.keypoints)


def test_no_pose_where_nothing_has_keypoints(picture) -> None:
    model = tiny_model(pose=dict(POSE, min_score=0.5)).eval()
    with torch.no_grad():
        model.tasks['pose'].posed.layers[-1].bias.fill_(-20.0)
    made = predicted(model, picture(64, 64))
    assert len(made.pred_poses) == 0
    prediction = dict(height=64, width=64, **FORMATS['pose'].results(made))
    assert prediction['poses'] == [] and FORMATS['pose'].summary(prediction, 0.3) == ['nothing found']


def test_results_are_plain_and_complete(model, picture) -> None:
    made = predicted(model, picture(64, 96))
    results = json.loads(json.dumps(FORMATS['pose'].results(made)))
    assert results['skeleton'] == [['nose', 'tail']]
    for row, pose in enumerate(results['poses']):
        assert [point['name'] for point in pose['keypoints']] == list(KEYPOINTS)
        found = [[point['x'], point['y']] for point in pose['keypoints']]
        np.testing.assert_allclose(found, made.pred_poses.keypoints[row], rtol=1e-6)
        assert pose['name'] in ANIMALS.names and {'segmentation', 'bbox', 'area', 'score'} <= pose.keys()
    [first, *_] = FORMATS['pose'].summary(results, 0.0)
    assert first.startswith(f'{results["poses"][0]["name"]}  score ')


def test_a_run_from_training_to_pictures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = TinyPoses(tmp_path / 'data', 4)
    datasets = ('train_dataloader.dataset.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset')
    file = str(data.keypoint_file)
    options = [
        '--cfg-options',
        *(f'{name}.data_root={data.root}' for name in datasets),
        f'train_dataloader.dataset.dataset.pipeline.2.ann_file={file}',
        *(f'{name}.pipeline.3.ann_file={file}' for name in datasets[1:]),
        f'val_evaluator.ann_file={file}',
        f'test_evaluator.ann_file={file}',
    ]
    work_dir = tmp_path / 'work'
    run_tool(
        'train',
        CONFIG,
        '--work-dir',
        work_dir,
        *options,
        'train_cfg.max_iters=2',
        'default_hooks.checkpoint.interval=2',
    )
    assert 'pose/PCK_all' in capsys.readouterr().out
    weights = work_dir / 'iter_2.pth'
    test = ('--work-dir', tmp_path / 'tested', '--format', 'coco', '--out', tmp_path / 'coco', '--show-dir', 'shown')
    run_tool('test', CONFIG, weights, *test, *options)
    assert 'pose/found' in capsys.readouterr().out
    rows = json.loads((tmp_path / 'coco' / 'keypoints.json').read_text())
    assert rows and all(len(row['keypoints']) == 12 and row['category_id'] in (5, 6) for row in rows)
    pictures = list((tmp_path / 'tested').rglob('shown/*.png')) + list((tmp_path / 'tested').rglob('shown/*.jpg'))
    assert len(pictures) == 4
    inferencer = XDecoderInferencer(str(CONFIG), weights=str(weights), device='cpu')
    image = str(data.root / 'images' / '0.png')
    result = inferencer(image, task='pose', things='dog . chair', out_dir=str(tmp_path / 'out'), show_progress=False)
    [prediction] = result['predictions']
    assert prediction['poses'] and prediction['classes'] == ['dog', 'chair']
    written = json.loads((tmp_path / 'out' / 'preds' / '0.json').read_text())
    assert written['poses'] == json.loads(json.dumps(prediction['poses']))
    assert Image.open(tmp_path / 'out' / 'vis' / '0.png').size[0] >= 480
    capsys.readouterr()
    run_tool('misc/poses_to_coco', tmp_path / 'out' / 'preds', file, tmp_path / 'poses.json')
    dogs = [pose for pose in prediction['poses'] if pose['name'] == 'dog']
    assert f'{len(dogs)} poses of 1 images' in capsys.readouterr().out
    rows = json.loads((tmp_path / 'poses.json').read_text())
    assert [(row['image_id'], row['category_id'], row['score']) for row in rows] == [
        (100, 1, pose['score']) for pose in dogs
    ]


def test_weights_for_photographs_fit_but_for_the_task() -> None:
    keys = {}
    for name in ('joint', 'pose'):
        cfg = Config.fromfile(str(ROOT / f'configs/xdecoder/xdecoder_lite0-nano_{name}-photos.py'))
        with torch.device('meta'):
            model = MODELS.build(cfg.model)
        keys[name] = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    added = keys['pose'].keys() - keys['joint'].keys()
    assert added and all(key.startswith('tasks.pose.') for key in added)
    assert keys['joint'].items() <= keys['pose'].items()
    assert cfg.allow_missing == ('tasks.pose.*',) and cfg.trainable == ['tasks.pose']


def test_pose_is_a_task_of_the_registry() -> None:
    assert TASKS.get('PoseTask') is PoseTask and FORMATS['pose'].field == 'pred_poses'
