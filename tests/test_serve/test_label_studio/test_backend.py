"""The protocol of Label Studio's backends: annotations, clicks, training, and what strangers may send."""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
testclient = pytest.importorskip('starlette.testclient', reason='httpx2 is not installed (requirements/tests.txt)')

from xdet.apis import XDecoderInferencer  # noqa: E402
from xdet.datasets.exchange.formats.label_studio import decode_brush, encode_brush  # noqa: E402
from xdet.serve.label_studio.app import Settings, make_app  # noqa: E402
from xdet.serve.label_studio.images import LabelStudio, TaskImages  # noqa: E402
from xdet.serve.label_studio.training import Training  # noqa: E402
from xdet.serve.limits import Limits  # noqa: E402
from xdet.serve.refusal import Refused  # noqa: E402
from xdet.serve.service import Service  # noqa: E402
from xdet.structures import decode_mask  # noqa: E402

LIMITS = Limits(body_bytes=300_000, pixels=10_000, names=20, prompts=5, text=40, characters=500, queue=3, seconds=20)
WIDTH, HEIGHT = 48, 32
PROJECT = '7.1700000000'


def label_config(*kinds: str, labels: str = '<Label value="cat"/><Label value="dog" alias="D"/>') -> str:
    controls = ''.join(f'<{kind} name="{kind[:4]}" toName="photo">{labels}</{kind}>' for kind in kinds)
    return f'<View><Image name="photo" value="$picture"/>{controls}</View>'


CONFIG = label_config('KeyPointLabels', 'RectangleLabels', 'BrushLabels')


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('files')
    (folder / 'in').mkdir()
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / 'in' / f'{seed} a.png')
    (folder / 'broken.jpg').write_bytes(b'GIF89a')
    (folder.parent / 'secret.png').write_bytes((folder / 'in' / '0 a.png').read_bytes())
    (folder / 'link.png').symlink_to(folder.parent / 'secret.png')
    return folder


@pytest.fixture(scope='module')
def service(inferencer: XDecoderInferencer) -> Iterator[Service]:
    service = Service(inferencer, LIMITS)
    yield service
    service.worker.close()


@pytest.fixture
def client(service: Service, folder: Path):  # its life is not entered: the service outlives the client
    return _client(service, folder)


def _client(service: Service, folder: Path, training: Training | None = None, token: str | None = None, **settings):
    images = TaskImages(folder, None, LIMITS.body_bytes)
    app = make_app(service, token, None, Settings(images, score=0.0, training=training, **settings))
    return testclient.TestClient(app, raise_server_exceptions=False)


def task(name: str = 'in/0%20a.png', number: int = 1) -> dict:
    return dict(id=number, data=dict(picture=f'/data/local-files/?d={name}'))


def ask(client, *tasks: dict, config: str = CONFIG, context: object = None):
    params = dict(login=None, password=None, context=context)
    return client.post(
        '/predict', json=dict(tasks=tasks or [task()], project=PROJECT, label_config=config, params=params)
    )


def error_of(response, status: int = 422) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ['error'] and '\n' not in body['error']
    return body['error']


def point(x: float, y: float, positive: int = 1, label: str = 'cat') -> dict:
    value = dict(x=x, y=y, width=0.5, keypointlabels=[label])
    size = dict(original_width=WIDTH, original_height=HEIGHT)
    return dict(type='keypointlabels', value=value, is_positive=positive, from_name='KeyP', to_name='photo', **size)


def rectangle(label: str = 'D') -> dict:
    value = dict(x=10, y=10, width=50, height=60, rotation=0, rectanglelabels=[label])
    size = dict(original_width=WIDTH, original_height=HEIGHT)
    return dict(type='rectanglelabels', value=value, from_name='Rect', to_name='photo', **size)


def test_health_setup_versions(client) -> None:
    health = client.get('/health').json()
    assert health['status'] == 'UP'
    setup = client.post(
        '/setup', json=dict(project=PROJECT, schema=CONFIG, hostname='http://127.0.0.1:1', access_token='x')
    )
    assert setup.json() == dict(model_version=health['model_version'])
    assert client.post('/validate', json=dict(config=CONFIG)).status_code == 200
    assert client.get('/versions').json() == dict(versions=[health['model_version']])
    assert client.get('/job_status').json() == dict(state='off')
    assert client.get('/openapi.json').status_code == 404


def test_images_are_annotated_by_the_labels(client, inferencer: XDecoderInferencer, folder: Path) -> None:
    response = ask(client, task(), task('in/1%20a.png'))
    assert response.status_code == 200, response.text
    first, second = response.json()['results']
    absolute = dict(id=1, data=dict(picture='http://127.0.0.1:1/base' + task()['data']['picture']))
    assert len(ask(client, absolute).json()['results'][0]['result']) == len(first['result'])
    expected = inferencer(str(folder / 'in' / '0 a.png'), 'instance', classes=['cat', 'dog'])['predictions'][0][
        'segments'
    ]
    assert len(first['result']) == len([row for row in expected if row['area']]) > 0 and second['result']
    for result, row in zip(first['result'], expected, strict=True):
        assert (result['from_name'], result['to_name'], result['type']) == ('Brus', 'photo', 'brushlabels')
        assert (result['original_width'], result['original_height']) == (WIDTH, HEIGHT)
        assert result['value']['brushlabels'] == [dict(cat='cat', dog='D')[row['name']]]
        assert result['score'] == pytest.approx(row['score'])
        mask = decode_brush(result['value']['rle'], (HEIGHT, WIDTH), '')
        assert np.array_equal(decode_mask(mask), decode_mask(row['segmentation']))
    assert first['score'] == pytest.approx(np.mean([result['score'] for result in first['result']]))


@pytest.mark.parametrize('kind', ['PolygonLabels', 'RectangleLabels', 'KeyPointLabels'])
def test_kinds_of_controls(kind: str, client) -> None:
    results = ask(client, config=label_config(kind)).json()['results'][0]['result']
    brushes = ask(client).json()['results'][0]['result']
    assert {result['type'] for result in results} == {kind.lower()} and len(results) == len(brushes)
    for result, brush in zip(results, brushes, strict=True):
        value, mask = result['value'], decode_mask(decode_brush(brush['value']['rle'], (HEIGHT, WIDTH), ''))
        if kind == 'KeyPointLabels':
            assert mask[int(value['y'] / 100 * HEIGHT), int(value['x'] / 100 * WIDTH)]
        elif kind == 'RectangleLabels':
            columns = np.flatnonzero(mask.any(axis=0))
            assert value['x'] / 100 * WIDTH == pytest.approx(columns[0])
            assert value['width'] / 100 * WIDTH == pytest.approx(columns[-1] + 1 - columns[0])
        else:
            assert all(0 <= one <= 100 for corner in value['points'] for one in corner)


def test_clicks_and_boxes_are_those_of_the_interactive_task(client, service: Service, inferencer, folder: Path) -> None:
    image = str(folder / 'in' / '2 a.png')
    kept = len(service.kept)
    shown = task('in/2%20a.png')
    for context, options, label in (
        ([point(50, 50)], dict(points=[[24, 16]]), 'cat'),
        ([point(50, 50), point(100, 0, 0)], dict(points=[[24, 16], [47.5, 0, 0]]), 'cat'),
        ([rectangle()], dict(boxes=[[4.8, 3.2, 28.8, 22.4]]), 'D'),
        ([rectangle(), point(50, 50)], dict(boxes=[[4.8, 3.2, 28.8, 22.4]], points=[[24, 16]]), 'D'),
    ):
        (answer,) = ask(client, shown, context=dict(result=context)).json()['results']
        (result,) = answer['result']
        mask = decode_mask(decode_brush(result['value']['rle'], (HEIGHT, WIDTH), ''))
        best = inferencer(image, 'interactive', **options)['predictions'][0]['segments'][0]
        assert np.array_equal(mask, decode_mask(best['segmentation']))
        assert result['value']['brushlabels'] == [label] and answer['score'] == pytest.approx(best['score'])
    assert len(service.kept) == kept + 1  # encoded once
    service.kept.drop(next(iter(service.kept._entries)))
    assert ask(client, shown, context=dict(result=[point(50, 50)])).status_code == 200


def test_clicks_as_label_studio_writes_them(client) -> None:
    """Recorded from the page of Label Studio 1.23: a point on the object, a point beside it with Alt, a box."""
    common = dict(original_width=WIDTH, original_height=HEIGHT, image_rotation=0, to_name='photo', origin='manual')
    value = dict(width=0.30816640986132515, labels=['cat'], keypointlabels=['cat'])
    clicks = [
        dict(common, type='keypointlabels', from_name='KeyP', id=name, is_positive=on, value=dict(value, x=x, y=y))
        for name, on, x, y in (('zvzSIghc2x', True, 57.8871, 19.5417), ('LnfVda1gbd', False, 86.6859, 67.4047))
    ]
    box = dict(x=5.2098, y=5.4003, width=76.7004, height=90.2870, rotation=0, rectanglelabels=['cat'])
    frame = dict(common, type='rectanglelabels', from_name='Rect', id='lKkurYlIM6', value=box)
    for context in (clicks[:1], clicks, [frame]):
        (answer,) = ask(client, context=dict(result=context)).json()['results']
        assert [(found['type'], found['from_name']) for found in answer['result']] == [('brushlabels', 'Brus')]


def test_brushes_show_objects_and_several_are_several(client) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[4:20, 6:30] = True
    brush = dict(
        type='brushlabels',
        value=dict(format='rle', rle=encode_brush(mask), brushlabels=['cat']),
        original_width=WIDTH,
        original_height=HEIGHT,
    )
    results = ask(client, context=dict(result=[brush, rectangle(), point(50, 50)])).json()['results'][0]['result']
    assert [result['value']['brushlabels'][0] for result in results] == ['cat', 'D', 'cat']


def test_one_bad_image_of_several_has_no_prediction(client, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = ask(client, task(), task('broken.jpg', 5)).json()['results']
    assert good['result'] and bad == []
    assert 'task 5: broken.jpg: ' in caplog.text


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + CONFIG


@pytest.mark.parametrize(
    'config, told',
    [
        ('', 'the label config: not valid XML'),
        ('<View>', 'not valid XML'),
        (BOMB, 'has a DOCTYPE'),
        ('<a>' * 100 + '</a>' * 100, 'nested more than 64 deep'),
        (None, 'the label config is null'),
        (['<View/>'], 'accepted is the XML of a project'),
        ('<View/>', 'no <Image>'),
        ('<View><Image name="i" value="$i"/></View>', 'no labels to draw with'),
        (label_config('BrushLabels', labels=''), 'no labels to draw with'),
        (label_config('BrushLabels', labels='<Label value=" "/>'), 'the name is'),
        (label_config('BrushLabels').replace('name="Brus"', ''), 'the name is'),
        (label_config('BrushLabels', labels=''.join(f'<Label value="n{i}"/>' for i in range(50))), '50 class names'),
        (label_config('BrushLabels', labels='<Label value="cat"/><Label value="Cat"/>'), ''),
        (label_config('BrushLabels', labels=f'<Label value="{"a" * 400}"/>'), '400 characters'),
    ],
)
def test_bad_label_configs(config: object, told: str, client) -> None:
    response = ask(client, config=config)
    assert told in error_of(response, 413 if told[:1].isdigit() else 422)


@pytest.mark.parametrize(
    'link, told',
    [
        ('/data/local-files/?d=../secret.png', 'accepted are paths below the folder'),
        ('/data/local-files/?d=in/..%2f..%2fsecret.png', 'accepted are paths below the folder'),
        ('/data/local-files/?d=%2Fetc/passwd', 'etc/passwd: file does not exist'),
        ('/data/local-files/?d=C:\\secret.png', 'accepted are paths below the folder'),
        ('/data/local-files/?d=link.png', 'leads out of the folder'),
        ('/data/local-files/?d=', 'accepted are paths below the folder'),
        ('/data/local-files/?d=in', 'is a folder'),
        ('/data/local-files/?d=none.png', 'none.png: file does not exist'),
        ('/data/local-files/?d=broken.jpg', 'broken.jpg'),
        ('/data/upload/1/a.jpg', 'start with --label-studio-url'),
        ('http://127.0.0.1:1/a.jpg', 'an address that this server does not ask'),
        ('http://a/data/local-files/?d=../secret.png', 'accepted are paths below the folder'),
        ('http://[::1/a.jpg', 'which is no address'),
        ('//127.0.0.1/data/upload/a.jpg', 'an address that this server does not ask'),
        ('file:///etc/passwd', 'an address'),
        ('s3://bucket/a.jpg', 'an address'),
        ('/etc/passwd', 'accepted are uploads and local files'),
        ('a\nb', 'accepted is a text'),
        (7, 'accepted is a text'),
        ({'a': 1}, 'accepted is a text'),
        ('data:image/png;base64,AAAA', 'image'),
        ('data:image/png;base64,?', 'no base64'),
        ('/data/local-files/?d=a%00b', 'accepted are paths below the folder'),
    ],
)
def test_bad_links(link: object, told: str, client, folder: Path) -> None:
    line = error_of(ask(client, dict(id=1, data=dict(picture=link))))
    assert told in line and str(folder) not in line


@pytest.mark.parametrize(
    'body, status, told',
    [
        (b'', 400, 'cannot be read'),
        (b'[1]', 422, 'accepted is an object'),
        (b'{"tasks": {}}', 422, 'the label config is null'),
        (b'{"a":' * 5000, 400, 'nested too deeply'),
        (b'{"a": NaN}', 400, 'NaN'),
        (b'[' + b'0,' * 140_000 + b'0]', 422, 'accepted is an object'),
        (b'"' + b'a' * 300_001 + b'"', 413, 'more than 300000 bytes'),
        (dict(tasks='x'), 422, "'tasks' is 'x'"),
        (dict(tasks=[3]), 422, "'task' is 3"),
        (dict(tasks=[dict(data=[])]), 422, "'data' is []"),
        (dict(tasks=[dict(data=dict(image='a'))]), 422, "no 'picture'"),
        (dict(tasks=[{}] * 6), 413, '6 tasks'),
        (dict(params=[]), 422, "'params' is []"),
        (dict(params=dict(context='x')), 422, "'context' is 'x'"),
        (dict(params=dict(context=dict(result=[]))), 422, 'shows nothing'),
        (dict(params=dict(context=dict(result=[3]))), 422, 'result 0 (counted from 0): is 3'),
        (dict(params=dict(context=dict(result=[point(50, 50)] * 6))), 413, '6 results'),
        (dict(params=dict(context=dict(result=[point(50, 300)]))), 422, '300 percent'),
        (dict(params=dict(context=dict(result=[point(50, 50, label='cow')]))), 422, "with the label 'cow'"),
        (dict(params=dict(context=dict(result=[point(50, 50, 0)]))), 422, 'on the object'),
        (dict(params=dict(context=dict(result=[dict(point(5, 5), original_width=9)]))), 422, 'the image has 48x32'),
        (dict(params=dict(context=dict(result=[dict(point(5, 5), value=dict(x='a', y=1))]))), 422, "'x' is 'a'"),
        (dict(params=dict(context=dict(result=[dict(rectangle(), value={})]))), 422, "'rectanglelabels' is missing"),
        (dict(tasks=[task(), task()], params=dict(context=dict(result=[point(5, 5)]))), 422, '2 tasks with a context'),
    ],
)
def test_bad_requests(body: object, status: int, told: str, client) -> None:
    if isinstance(body, dict):
        body = json.dumps(dict(tasks=[task()], label_config=CONFIG) | body)
    assert told in error_of(client.post('/predict', content=body), status)


def test_token_is_a_bearer_or_a_password(service: Service, folder: Path) -> None:
    client = _client(service, folder, token='secret')
    assert client.get('/health').status_code == 200
    setup = dict(schema=CONFIG)
    assert 'token' in error_of(client.post('/setup', json=setup), 401)
    assert client.post('/setup', json=setup, auth=('anyone', 'wrong')).status_code == 401
    assert client.post('/setup', json=setup, auth=('anyone', 'secret')).status_code == 200
    assert client.post('/setup', json=setup, headers=dict(Authorization='Bearer secret')).status_code == 200
    assert client.post('/setup', json=setup, headers=dict(Authorization='Basic ?')).status_code == 401


# ------------------------------------------------------------------------------------------------------------ training

SAYS_ITS_CONFIG = (
    'import pathlib, sys\n'
    'print(pathlib.Path(sys.argv[1]).read_text())\n'
    'work = pathlib.Path(sys.argv[3]); work.mkdir(); (work / "iter_3.pth").touch()\n'
    'print("trained")'
)


def annotation(number: int, mask: bool = True) -> dict:
    covered = np.zeros((HEIGHT, WIDTH), bool)
    covered[4:20, 6 : 20 + number] = True
    value = dict(format='rle', rle=encode_brush(covered), brushlabels=['D'])
    size = dict(original_width=WIDTH, original_height=HEIGHT, image_rotation=0)
    brush = dict(id='a', type='brushlabels', value=value, from_name='Brus', to_name='photo', **size)
    return dict(id=100 + number, result=[brush if mask else dict(rectangle(), image_rotation=0)])


def event(action: str, number: int) -> dict:
    return dict(
        action=action, project=dict(id=7, label_config=CONFIG), task=task(f'in/{number}%20a.png', number)
    ) | dict(annotation=annotation(number))


def wait_for(client) -> dict:
    for _ in range(200):
        status = client.get('/job_status').json()
        if status['state'] != 'running':
            return status
        time.sleep(0.05)
    raise AssertionError('the training does not end')


def test_training_from_what_webhooks_brought(service: Service, folder: Path, tmp_path: Path) -> None:
    images = TaskImages(folder, None, LIMITS.body_bytes)
    training = Training(tmp_path / 'runs', images, 3, [sys.executable, '-c', SAYS_ITS_CONFIG])
    client = _client(service, folder, training)
    start = dict(action='START_TRAINING', project=dict(id=7, label_config=CONFIG))
    assert 'nothing to train from' in error_of(client.post('/webhook', json=start))
    assert [path.name for path in (tmp_path / 'runs' / 'project-7').iterdir()] == ['tasks']  # nothing half written
    for number in range(3):
        assert client.post('/webhook', json=event('ANNOTATION_CREATED', number)).status_code == 200
    assert client.post('/webhook', json=event('ANNOTATION_UPDATED', 1)).status_code == 200
    client.post('/webhook', json=dict(action='ANNOTATIONS_DELETED', project=dict(id=7), annotations=[dict(id=102)]))
    assert sorted(path.name for path in (tmp_path / 'runs/project-7/tasks').iterdir()) == ['0.json', '1.json']
    started = client.post('/webhook', json=start)
    assert started.status_code == 201 and started.json()['job'].startswith('project-7/')
    status = wait_for(client)
    assert status['state'] == 'done' and status['last_line'].endswith('trained')
    assert status['weights'].endswith('iter_3.pth')
    data = tmp_path / 'runs' / started.json()['job'] / 'data'
    parts = [json.loads((data / f'{part}.json').read_text()) for part in ('train', 'val')]
    assert [len(part['images']) for part in parts] == [1, 1]
    assert [category['name'] for category in parts[0]['categories']] == ['cat', 'D']
    assert all(len(part['annotations']) == 1 for part in parts)
    from mmengine.config import Config

    config = Config.fromfile(status['config'])
    assert (config.max_iters, config.data_root) == (3, str(data))


def test_train_by_request_one_at_a_time(service: Service, folder: Path, tmp_path: Path) -> None:
    images = TaskImages(folder, None, LIMITS.body_bytes)
    training = Training(tmp_path, images, 3, [sys.executable, '-c', 'import time; time.sleep(60)'])
    client = _client(service, folder, training)
    tasks = [dict(task(), annotations=[annotation(0)]), dict(task('x.png', 2), annotations=[])]
    body = dict(annotations=tasks, project=PROJECT, label_config=CONFIG)
    boxes = [dict(task(), annotations=[annotation(0, mask=False)])]
    assert 'boxes alone teach no masks' in error_of(client.post('/train', json=body | dict(annotations=boxes)))
    missing = [dict(task('none.png'), annotations=[annotation(0)])]
    assert 'none.png: file does not exist' in error_of(client.post('/train', json=body | dict(annotations=missing)))
    for project in (None, '../7', 'x', True, dict(id='../../x'), -1):
        assert 'project is' in error_of(client.post('/train', json=body | dict(project=project)))
    assert client.post('/train', json=body).status_code == 201
    assert 'is running already' in error_of(client.post('/train', json=body), 409)
    training.close()
    assert client.get('/job_status').json()['state'] == 'failed'


def test_training_is_off(client) -> None:
    for path, body in (('/webhook', dict(action='START_TRAINING')), ('/train', dict(annotations=[]))):
        assert 'start with --train-dir' in error_of(client.post(path, json=body), 403)
    assert client.post('/webhook', json=event('ANNOTATION_CREATED', 0)).status_code == 200
    assert "'action' is 3" in error_of(client.post('/webhook', json=dict(action=3)))


# ------------------------------------------------------------------------------------------------ asking Label Studio


class Served:
    """What a Label Studio answers, by path."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers, self.asked = answers, []

    def open(self, request, timeout):
        self.asked.append((request.full_url, request.headers.get('Authorization')))
        body = io.BytesIO(self.answers[request.full_url.removeprefix('http://127.0.0.1:8080/x')])
        return body


def test_uploads_come_from_label_studio_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (folder / 'in' / '0 a.png').read_bytes()
    own = LabelStudio('http://127.0.0.1:8080/x/', 'abc')
    served = Served({'/data/upload/1/a%20b.png': content})
    monkeypatch.setattr(own, '_opener', served)
    images = TaskImages(None, own, 300_000)
    for link in ('/data/upload/1/a%20b.png', 'http://127.0.0.1:8080/x/data/upload/1/a b.png'):
        assert images.read(link) == ('a b.png', content)
    assert served.asked == [('http://127.0.0.1:8080/x/data/upload/1/a%20b.png', 'Token abc')] * 2
    for link in ('http://127.0.0.1:8080.evil.net/data/upload/a', '/data/upload/../../api/users', '/api/projects'):
        with pytest.raises(Refused):
            images.read(link)
    with pytest.raises(Refused, match='more than 10 bytes'):
        own.get('/data/upload/1/a%20b.png', 10)
    assert len(served.asked) == 3


def test_personal_access_tokens_are_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    token = '.'.join(base64.urlsafe_b64encode(part).decode().strip('=') for part in (b'{}', b'{}', b'x'))
    own = LabelStudio('http://127.0.0.1:8080/x', token)
    served = Served({'/api/token/refresh': b'{"access": "short"}', '/a': b'1'})
    monkeypatch.setattr(own, '_opener', served)
    assert own.get('/a', 9) == own.get('/a', 9) == b'1'
    assert [header for _, header in served.asked] == [None, 'Bearer short', 'Bearer short']
    served.answers['/api/token/refresh'] = b'[]'
    own._until = 0.0
    with pytest.raises(Refused, match='did not accept the token'):
        own.get('/a', 9)


def test_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = LabelStudio('http://127.0.0.1:8080', 'abc')
    handlers = {type(handler).__name__ for handler in own._opener.handlers}
    assert handlers == {'HTTPHandler', 'HTTPSHandler', 'HTTPDefaultErrorHandler', 'HTTPErrorProcessor'}


@pytest.mark.parametrize('url', ['', 'ftp://a', 'http://', 'http://user:x@a', 'http://a?b=c', 'localhost:8080'])
def test_bad_addresses(url: str) -> None:
    with pytest.raises(ValueError, match='--label-studio-url is'):
        LabelStudio(url, 'abc')
