"""The protocol of Label Studio's backends: annotations, clicks, and what strangers may send."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
pytest.importorskip('starlette.testclient', reason='httpx2 is not installed (requirements/tests.txt)')

from tiny.label_studio import (  # noqa: E402
    CONFIG,
    HEIGHT,
    PROJECT,
    WIDTH,
    ask,
    backend,
    error_of,
    label_config,
    point,
    rectangle,
    task,
)

from xdet.apis import XDecoderInferencer  # noqa: E402
from xdet.datasets.exchange.row_codes import decode_brush, encode_brush  # noqa: E402
from xdet.serve.service import Service  # noqa: E402
from xdet.structures import decode_mask  # noqa: E402


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


def test_labels_that_share_an_alias_are_all_asked_for(client, service: Service) -> None:
    labels = '<Label value="cat" alias="animal"/><Label value="dog" alias="animal"/>'
    config = label_config('BrushLabels', labels=labels)
    results = ask(client, config=config).json()['results'][0]['result']
    assert len(results) == len(ask(client).json()['results'][0]['result'])
    assert {label for result in results for label in result['value']['brushlabels']} == {'animal'}


def test_images_that_are_shown_turned_are_refused(client) -> None:
    assert 'turned' in error_of(ask(client, context=dict(result=[dict(point(5, 5), image_rotation=90)])))


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
    client = backend(service, folder, token='secret')
    assert client.get('/health').status_code == 200
    setup = dict(schema=CONFIG)
    assert 'token' in error_of(client.post('/setup', json=setup), 401)
    assert client.post('/setup', json=setup, auth=('anyone', 'wrong')).status_code == 401
    assert client.post('/setup', json=setup, auth=('anyone', 'secret')).status_code == 200
    assert client.post('/setup', json=setup, headers=dict(Authorization='Bearer secret')).status_code == 200
    assert client.post('/setup', json=setup, headers=dict(Authorization='Basic ?')).status_code == 401
