"""Depth maps: what learns, what is predicted, how it is reported; and that no other task notices."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from parity.model import sample_of
from PIL import Image
from test_tasks.conftest import tiny_model
from tiny.tools import ROOT

from xdet import model_zoo
from xdet.apis import XDecoderInferencer
from xdet.inference.outputs.typed import Depth
from xdet.registry import MODELS, TASKS
from xdet.structures import FORMATS, XDetDataSample
from xdet.tasks import DepthTask
from xdet.tasks.depth_format import millimetres
from xdet.visualization import XDetLocalVisualizer

DEPTH = dict(
    type='DepthTask', embed_dims=128, head=dict(backbone_channels=(8, 16), channels=16), loss=dict(type='SILogLoss')
)
CONFIG = 'xdecoder_focal-nano_depth-scenes'


@pytest.fixture(scope='module')
def deep():
    return tiny_model(depth=DEPTH).eval()


def sample(image: torch.Tensor, depth: float | None) -> XDetDataSample:
    made = sample_of(image, None)
    if depth is not None:
        made.gt_depth = PixelData(depth=torch.full((1, *image.shape[-2:]), depth))
    return made


def losses_of(model, images, samples):
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    return model(**data, mode='loss')


def predicted(model, images, sizes) -> list[XDetDataSample]:
    samples = [sample_of(image, None, tasks=('depth',)) for image in images]
    for made, size in zip(samples, sizes, strict=True):
        made.set_metainfo(dict(ori_shape=size))
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=False)
    return model(**data, mode='predict')


@pytest.mark.parametrize('detach', [True, False])
def test_what_learns(picture, detach: bool) -> None:
    model = tiny_model(depth=dict(DEPTH, detach=detach)).train()
    images = [picture(64, 64), picture(40, 60, 1)]
    losses = losses_of(model, images, [sample(images[0], 2.0), sample(images[1], 0.0)])
    assert set(losses) == {'loss_depth'} and losses['loss_depth'].item() > 0
    losses['loss_depth'].backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    own = {name for name, _ in model.named_parameters() if name.startswith('tasks.depth.')}
    assert learned == own if detach else {name.split('.')[0] for name in learned - own} == {'backbone', 'pixel_decoder'}


def test_samples_without_depth_do_not_train_it() -> None:
    task = DepthTask(128, loss=dict(type='SILogLoss'))
    image = torch.zeros(3, 8, 8)
    assert task.trains(sample(image, 0.0)) and not task.trains(sample(image, None))
    assert not DepthTask(128).trains(sample(image, 1.0))
    with pytest.raises(ValueError, match='min_depth is 3 and max_depth 2'):
        DepthTask(128, min_depth=3, max_depth=2)


def test_maps_of_another_size_than_the_image(picture) -> None:
    model = tiny_model(depth=DEPTH).train()
    image = picture(64, 64)
    wrong = sample(image, 1.0)
    wrong.gt_depth = PixelData(depth=torch.ones(1, 32, 64))
    with pytest.raises(ValueError, match=r'depth map is \(32, 64\) but the image \(64, 64\)'):
        losses_of(model, [image], [wrong])


def test_predictions_have_the_original_size_and_do_not_mind_neighbours(deep, picture) -> None:
    images, sizes = [picture(64, 96), picture(50, 90, 1)], [(64, 96), (100, 180)]
    together = predicted(deep, images, sizes)
    for image, size, made in zip(images, sizes, together, strict=True):
        [alone] = predicted(deep, [image], [size])
        assert made.pred_depth.depth.shape == (1, *size) and (made.pred_depth.depth > 0).all()
        torch.testing.assert_close(made.pred_depth.depth, alone.pred_depth.depth, rtol=1e-4, atol=1e-5)


def test_reports_are_exact_to_the_millimetre() -> None:
    made = XDetDataSample()
    depth = torch.tensor([[[0.0014, 1.2344], [7.0, 99.0]]])
    made.pred_depth = PixelData(depth=depth)
    form = FORMATS['depth']
    result = json.loads(json.dumps(form.results(made)))
    values = np.array(Image.open(io.BytesIO(base64.b64decode(result['depth_png']))))
    assert values.dtype == np.uint16 and values.tolist() == [[1, 1234], [7000, 65535]]
    np.testing.assert_array_equal(form.maps(made)['depth'], values)
    assert form.summary(result, 0.3) == ['depth 0.00 to 99.00 m, median 4.12 m']
    assert millimetres(np.array([-1.0, 0, 70])).tolist() == [0, 0, 65535]


def test_drawings_are_warm_where_it_is_near() -> None:
    made = XDetDataSample()
    depth = torch.linspace(1, 9, 500).expand(1, 500, 500).clone()
    made.pred_depth = PixelData(depth=depth)
    drawn = XDetLocalVisualizer().draw(np.zeros((500, 500, 3), np.uint8), made)
    assert drawn.shape == (500, 500, 3)
    near, far = drawn[250, 60].astype(int), drawn[250, 440].astype(int)
    assert near[0] > near[2] and far[2] > far[0]
    holes = XDetDataSample()
    holes.gt_depth = PixelData(depth=torch.zeros(1, 500, 500))
    assert not XDetLocalVisualizer().draw(np.full((500, 500, 3), 9, np.uint8), holes).any()
    with pytest.raises(ValueError, match='but the image'):
        XDetLocalVisualizer().draw(np.zeros((400, 500, 3), np.uint8), made)


def test_only_the_task_is_new_in_the_embedded_model(tmp_path: Path) -> None:
    """Its other weights are those of `scenes`, nothing but it is trained, and panoptic results are the same bytes."""
    cfg = model_zoo.load_config(model_zoo.find_config(CONFIG))
    assert cfg.trainable == ['tasks.depth'] and cfg.allow_missing == ('tasks.depth.*',)
    embedded = model_zoo.EMBEDDED['scenes']
    assert cfg.load_from == str(embedded.weights)
    scenes = XDecoderInferencer('scenes', device='cpu')
    model = XDecoderInferencer(CONFIG, random_weights=True, device='cpu')
    missing = model.model.load_state_dict(scenes.model.state_dict(), strict=False)
    assert not missing.unexpected_keys and all(key.startswith('tasks.depth.') for key in missing.missing_keys)
    image = ROOT / 'demo' / 'demo_scene.png'
    asked = dict(things='red cross . green heart', stuff='sky . sand', show_progress=False)
    first, second = (one(str(image), **asked)['predictions'][0]['segments'] for one in (scenes, model))
    assert first == second
    result = model.depth(image)
    assert isinstance(result, Depth) and result.depth.shape == result.size and str(result).startswith('depth ')
    np.testing.assert_array_equal(np.load(result.save(tmp_path / 'a.npy')), result.depth)
    assert json.loads(result.save(tmp_path / 'a.json').read_text())['depth']['max'] == pytest.approx(result.depth.max())
    assert result.save(tmp_path / 'a.png').is_file()
    model(str(image), task='depth', out_dir=str(tmp_path / 'out'), show_progress=False)
    written = np.array(Image.open(tmp_path / 'out' / 'preds' / 'demo_scene_depth.png'))
    np.testing.assert_array_equal(written, millimetres(result.depth))
    with pytest.raises(ValueError, match="this model was not configured for task 'depth'"):
        scenes.depth(image)


def test_depth_is_a_task_of_the_registry() -> None:
    assert TASKS.get('DepthTask') is DepthTask and MODELS.get('SILogLoss') and FORMATS['depth'].field == 'pred_depth'
