import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from xdet.apis import OutputError, XDecoderInferencer, decode_mask
from xdet.datasets.files.image_io import ImageReadError
from xdet.models.postprocess import semantic
from xdet.structures import Vocabulary, XDetDataSample

TASKS = ('semantic', 'instance', 'panoptic')
THINGS, STUFF = 'dog . cat', 'grass . sky'


def picture(seed=0, size=(40, 60)):
    return np.random.RandomState(seed).randint(0, 255, (*size, 3), np.uint8)


@pytest.fixture
def run(inferencer):
    return partial(inferencer, things=THINGS, stuff=STUFF, show_progress=False)


@pytest.fixture
def folder(tmp_path):
    """Three good pictures of different sizes between a damaged one and an empty one."""
    path = tmp_path / 'pictures'
    path.mkdir()
    for seed, name in enumerate(('b.png', 'd.png', 'e.png')):
        cv2.imwrite(str(path / name), picture(seed, (40 + 7 * seed, 60)))
    (path / 'a.jpg').write_bytes((path / 'b.png').read_bytes()[:100])
    (path / 'c.jpg').write_bytes(b'')
    return path


@pytest.mark.parametrize('task', TASKS)
def test_prediction_is_plain_data(run, task):
    result = run(picture(), task=task)
    assert result['failed'] == [] and result['visualization'] == []
    (prediction,) = json.loads(json.dumps(result['predictions']))
    assert prediction['task'] == task and prediction['classes'] == ['dog', 'cat', 'grass', 'sky']
    assert (prediction['height'], prediction['width']) == (40, 60)
    assert prediction['segments']
    for segment in prediction['segments']:
        mask = decode_mask(segment['segmentation'])
        assert mask.shape == (40, 60) and mask.sum() == segment['area'] > 0
        assert segment['name'] == prediction['classes'][segment['label']]
        assert segment['is_thing'] == (segment['name'] in ('dog', 'cat'))


def test_samples_and_overlays_on_request(run):
    result = run([picture(0), picture(1)], return_datasamples=True, return_vis=True)
    assert all(isinstance(sample, XDetDataSample) for sample in result['predictions'])
    assert result['predictions'][0].pred_panoptic_seg.sem_seg.shape == (1, 40, 60)
    assert [image.shape[2] for image in result['visualization']] == [3, 3]


def test_every_kind_of_input_gives_the_same(run, tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), picture())
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *args: None
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}'
    pillow = Image.fromarray(picture()[..., ::-1])
    inputs = [picture(), pillow, tmp_path / 'x.png', str(tmp_path / 'x.png'), f'{url}/x.png']
    predictions = run([*inputs, f'{url}/missing.png'])
    server.shutdown()
    assert [item['segments'] for item in predictions['predictions']] == [predictions['predictions'][0]['segments']] * 5
    assert '404' in predictions['failed'][0]['error']


def test_grey_arrays(run):
    grey = picture()[..., 0]
    assert run(grey)['predictions'][0]['segments'] == run(np.stack([grey] * 3, -1))['predictions'][0]['segments']


@pytest.mark.parametrize('batch_size', [2, 3, 8])
@pytest.mark.parametrize('task', TASKS)
def test_batches_equal_single_images(run, task, batch_size):
    images = [picture(0), picture(1), picture(2, (64, 30)), picture(3)]
    things = [['dog'], ['cat', 'bird'], ['dog'], ['a', 'b', 'c']]
    together = run(images, task=task, things=things, batch_size=batch_size)['predictions']
    for index, image in enumerate(images):
        alone = run(image, task=task, things=things[index])['predictions'][0]
        assert together[index]['classes'] == alone['classes'] == [*things[index], 'grass', 'sky']
        assert together[index]['index'] == index
        assert len(together[index]['segments']) == len(alone['segments'])
        for left, right in zip(together[index]['segments'], alone['segments'], strict=True):
            assert left['name'] == right['name'] and abs(left['area'] - right['area']) <= 2


@pytest.mark.parametrize('task', TASKS)
def test_set_image_equals_direct_call(inferencer, run, task):
    inferencer.set_image(picture(5))
    cheap = inferencer.predict(task, things=THINGS, stuff=STUFF)
    assert cheap['predictions'] == run(picture(5), task=task)['predictions']


def test_encoded_image_is_reused(inferencer, monkeypatch):
    first, second = inferencer.set_image(picture(1)), inferencer.set_image(picture(2))
    monkeypatch.setattr(inferencer.model, 'encode', lambda inputs: pytest.fail('encoded again'))
    one = inferencer.predict('semantic', things='dog', stuff='sky', image=first)
    inferencer.predict('semantic', classes='bird . cat', image=first)
    two = inferencer.predict('semantic', things='dog', stuff='sky')
    assert one == inferencer.predict('semantic', things='dog', stuff='sky', image=first)
    assert two == inferencer.predict('semantic', things='dog', stuff='sky', image=second)


def test_predict_needs_an_image(tiny_config):
    fresh = XDecoderInferencer(tiny_config, random_weights=True, device='cpu')
    with pytest.raises(ValueError, match='call set_image'):
        fresh.predict(things=THINGS)
    with pytest.raises(ValueError, match='one image, not 2'):
        fresh.set_image([picture(), picture()])


def test_files(run, tmp_path, folder):
    result = run([folder / 'b.png', picture()], out_dir=tmp_path / 'out')
    for prediction in result['predictions']:
        files = prediction['files']
        assert json.loads((tmp_path / 'out' / files['json']).read_text()) == prediction
        ids = cv2.imread(str(tmp_path / 'out' / files['panoptic']))[..., ::-1].astype(int)
        ids = ids[..., 0] + 256 * ids[..., 1] + 65536 * ids[..., 2]
        for segment in prediction['segments']:
            assert (decode_mask(segment['segmentation']) == (ids == segment['id'])).all()
        assert cv2.imread(str(tmp_path / 'out' / files['vis'])) is not None


def test_parts_of_files(run, tmp_path):
    run(picture(), out_dir=tmp_path / 'pictures', no_save_pred=True)
    run(picture(), out_dir=tmp_path / 'data', no_save_vis=True)
    run(picture(), out_dir=tmp_path / 'nothing', no_save_vis=True, no_save_pred=True)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.*') if path.is_file())
    assert names == ['data/preds/image_0.json', 'data/preds/image_0_panoptic.png', 'pictures/vis/image_0.png']


@pytest.mark.parametrize('batch_size', [1, 2, 10])
def test_folder_goes_on_past_bad_files_and_lists_them(run, folder, batch_size, caplog, tmp_path):
    result = run(folder, batch_size=batch_size, out_dir=tmp_path / 'out')
    assert [item['index'] for item in result['predictions']] == [1, 3, 4]
    assert [(item['index'], item['image']) for item in result['failed']] == [
        (0, str(folder / 'a.jpg')),
        (2, str(folder / 'c.jpg')),
    ]
    assert 'empty' in result['failed'][1]['error']
    assert caplog.text.count('2 of 5 images failed') == 1 and 'c.jpg: file is empty' in caplog.text
    assert sorted(path.stem for path in (tmp_path / 'out' / 'vis').iterdir()) == ['b', 'd', 'e']


def test_the_only_image_is_bad(run, folder):
    for name, message in (('c.jpg', 'file is empty'), ('zzz.jpg', 'does not exist')):
        with pytest.raises(ImageReadError, match=message) as caught:
            run(folder / name)
        assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize('size', [(1, 1), (1, 700), (700, 1), (30, 2000)])
@pytest.mark.parametrize('task', TASKS)
def test_odd_sizes(run, task, size):
    prediction = run(picture(0, size), task=task, return_vis=True)['predictions'][0]
    assert (prediction['height'], prediction['width']) == size


def test_very_wide_picture_with_many_classes(inferencer, run, monkeypatch):
    """20000x300: the scores of 60 classes alone would take 1.4 GB, so they are computed in blocks of pixels."""
    names = [f'kind {index}' for index in range(60)]
    kept = semantic._labels_from_kept_masks
    with mock.patch.object(semantic, '_labels_from_kept_masks', wraps=kept) as labels:
        monkeypatch.setattr(inferencer.model, 'texts', lambda names: torch.eye(32).repeat(2, 1)[: len(names) + 1])
        prediction = run(picture(0, (300, 20000)), task='semantic', things=None, stuff=None, classes=names)
    assert labels.call_count == 1
    assert (prediction['predictions'][0]['height'], prediction['predictions'][0]['width']) == (300, 20000)


def test_very_many_classes(inferencer, run, monkeypatch):
    # Embedding 1203 names in 81 templates each would take most of the time of this file.
    monkeypatch.setattr(inferencer.model, 'texts', lambda names: torch.eye(len(names) + 1, 32))
    prediction = run(
        picture(), task='semantic', things=None, stuff=None, classes=[f'kind {index}' for index in range(1203)]
    )['predictions'][0]
    assert len(prediction['classes']) == 1203 and prediction['segments']


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(task='panoptik', things='dog'), r"unknown task 'panoptik'.*semantic, instance, panoptic"),
        (dict(things='dog', batch_size=0), 'batch_size is 0'),
        (dict(), 'no class names'),
        (dict(things=[]), 'empty'),
        (dict(things='dog . dog'), 'more than once: dog'),
        (dict(things='dog', task=['panoptic']), 'unknown task'),
        (dict(things='dog', task='x' * 100_000), 'unknown task'),
        (dict(things='dog', batch_size=True), 'batch_size is True'),
        (dict(things=[[['dog']]]), 'things'),
        (dict(things='dog', pred_score_thr=float('nan')), 'pred_score_thr is nan'),
        (dict(things='dog', pred_score_thr='x'), "pred_score_thr is 'x'"),
        (dict(things='dog', color_by='sample'), "color_by is 'sample'; accepted are 'class' and 'instance'"),
        (dict(things='dog', nms_iou=0.5), "task 'panoptic' does not take nms_iou"),
        (dict(things='dog', task='instance', nms_iou=2), 'nms_iou is 2'),
        (dict(things='dog', task='instance', max_per_image=0), 'max_per_image is 0'),
    ],
)
def test_bad_arguments(inferencer, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        inferencer(picture(), out_dir=tmp_path / 'out', **arguments)
    assert len(str(caught.value)) < 500
    assert not (tmp_path / 'out').exists()


def test_unwritable_output(run, tmp_path):
    (tmp_path / 'taken').write_text('')
    with pytest.raises(OutputError, match='taken'):
        run(picture(), out_dir=tmp_path / 'taken')


def test_batch_without_enough_memory_is_split(inferencer, run, monkeypatch):
    step = inferencer.model.test_step

    def small_memory(data):
        if len(data['inputs']) > 1 or data['inputs'][0].shape[-1] < 50:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return step(data)

    monkeypatch.setattr(inferencer.model, 'test_step', small_memory)
    result = run([picture(0), picture(1), picture(2, (90, 20))], batch_size=3)
    assert [item['index'] for item in result['predictions']] == [0, 1]
    assert 'needs more memory' in result['failed'][0]['error']
    with pytest.raises(ImageReadError, match='needs more memory'):
        run(picture(2, (90, 20)))


def test_other_errors_of_the_model_are_not_hidden(inferencer, run, monkeypatch):
    def broken(data):
        raise RuntimeError('shapes do not match')

    monkeypatch.setattr(inferencer.model, 'test_step', broken)
    with pytest.raises(RuntimeError, match='shapes do not match'):
        run([picture(), picture()])


def test_vocabulary_of_its_own(inferencer, monkeypatch):
    own = Vocabulary(('red circle', 'sky'), (True, False))
    monkeypatch.setattr(inferencer, 'default_vocabulary', own)
    assert inferencer(picture())['predictions'][0]['classes'] == ['red circle', 'sky']
    assert len(inferencer(picture(), vocabulary='coco_panoptic')['predictions'][0]['classes']) == 133


def test_print_result(run, capsys):
    run([picture(), picture()], task='semantic', print_result=True)
    assert 'image_0\n  ' in capsys.readouterr().out


def test_results_say_where_they_come_from(run, tmp_path):
    result = run(picture(), things='dog', task='instance', max_per_image=3, pred_score_thr=0.2, out_dir=tmp_path)
    found = json.loads((tmp_path / 'preds' / 'image_0.json').read_text())['provenance']
    assert found == result['predictions'][0]['provenance']
    assert found['task'] == 'instance' and found['settings'] == dict(pred_score_thr=0.2, max_per_image=3)
    assert found['weights'] is None and found['model'] and found['prompts'] == {}


def test_instances_can_be_selected(run):
    everything = run(picture(), things='dog . cat', task='instance')['predictions'][0]['segments']
    fewer = run(picture(), things='dog . cat', task='instance', nms_iou=0.3, max_per_image=1)['predictions'][0][
        'segments'
    ]
    assert len(everything) > 1 and fewer == everything[:1]


def test_results_are_not_read_again(run, folder, tmp_path):
    """A folder of results below the folder of images holds no images of the user."""
    before = run(folder, things='dog', task='semantic', out_dir=folder / 'results')
    again = run(folder, things='dog', task='semantic', out_dir=folder / 'results')
    assert [one['image'] for one in again['predictions']] == [one['image'] for one in before['predictions']]


def test_predict_takes_encoded_images_only(inferencer):
    with pytest.raises(ValueError, match='image is a ndarray; accepted is what set_image returned'):
        inferencer.predict('panoptic', image=picture(), things='dog')


def test_samples_name_what_they_have(run):
    (sample,) = run(picture(), things='dog', task='semantic', return_datasamples=True)['predictions']
    with pytest.raises(AttributeError, match="this sample has no 'pred_instances'; it has .*pred_sem_seg"):
        sample.pred_instances  # noqa: B018
    assert sample.get('pred_instances') is None and not hasattr(sample, 'gt_segments')
