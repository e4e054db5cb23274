"""Requests and answers, with a tiny model."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
testclient = pytest.importorskip('starlette.testclient', reason='httpx2 is not installed (requirements/tests.txt)')

from xdet.apis import XDecoderInferencer  # noqa: E402
from xdet.inference.inputs.images import ImageSource  # noqa: E402
from xdet.serve.app import make_app  # noqa: E402
from xdet.serve.limits import Limits  # noqa: E402
from xdet.serve.service import Service  # noqa: E402

LIMITS = Limits(body_bytes=200_000, pixels=10_000, names=20, prompts=5, text=40, characters=500, queue=3, seconds=20)
NAMES = 'cat . dog . sofa'
REQUESTS = dict(
    semantic=dict(classes=NAMES),
    instance=dict(classes=NAMES, max_per_image=2),
    panoptic=dict(things='cat', stuff='grass', score=0.0),
    refseg=dict(phrases=['the left dog', 'a cat']),
    caption=dict(max_tokens=4),
    refcaption=dict(boxes=[[2, 2, 30, 20]]),
    retrieval=dict(texts='a dog . a cat', return_embeddings=True),
    classification=dict(classes=NAMES),
    vqa=dict(questions='what is it?'),
    interactive=dict(points=[[20, 10], [40, 30, 0]]),
)


def png(width: int = 48, height: int = 32, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'PNG')
    return file.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode('ascii')


@pytest.fixture(scope='module')
def service(inferencer: XDecoderInferencer) -> Service:
    return Service(inferencer, LIMITS, batch_size=4)


@pytest.fixture(scope='module')
def client(service: Service) -> Iterator:
    with testclient.TestClient(make_app(service), raise_server_exceptions=False) as client:
        yield client


def error_of(response) -> str:
    body = response.json()
    assert list(body) == ['error'] and '\n' not in body['error']
    return body['error']


@pytest.mark.parametrize('task', REQUESTS)
def test_result_is_that_of_predict(task: str, client, inferencer: XDecoderInferencer) -> None:
    source = ImageSource('a.png', inferencer.set_image(Image.open(io.BytesIO(png()))).image)
    expected = inferencer(source, task, **REQUESTS[task])['predictions'][0]
    form = dict(REQUESTS[task])
    form |= {key: '; '.join(' '.join(map(str, row)) for row in form[key]) for key in form.keys() & {'boxes', 'points'}}
    as_form = client.post(f'/v1/tasks/{task}', files=dict(image=('folder/../a.png', png())), data=form)
    as_json = client.post(f'/v1/tasks/{task}', json=dict(image=in_base64(png()), **REQUESTS[task]))
    assert as_form.status_code == as_json.status_code == 200
    # JSON has no tuples; floating-point numbers are equal because the same call computed them.
    assert as_form.json() == json.loads(json.dumps(expected))
    assert as_json.json() == {**as_form.json(), 'image': 'image'}


def test_kept_image(client, service: Service) -> None:
    kept = client.post('/v1/images', files=dict(image=png()))
    assert kept.status_code == 201
    handle = kept.json()['handle']
    assert (kept.json()['width'], kept.json()['height']) == (48, 32) and kept.json()['bytes'] == service.kept.bytes
    fresh = client.post('/v1/tasks/panoptic', json=dict(image=in_base64(png()), classes=NAMES)).json()
    again = client.post('/v1/tasks/panoptic', json=dict(handle=handle, classes=NAMES)).json()
    assert [segment['segmentation'] for segment in again['segments']] == [
        segment['segmentation'] for segment in fresh['segments']
    ]
    assert kept.json()['bytes'] < service.kept.bytes  # the latent pass is kept, too
    both = client.post('/v1/predict', json=dict(handle=handle, tasks=dict(refseg=dict(phrases='a cat'), caption={})))
    assert list(both.json()['results']) == ['refseg', 'caption']
    assert client.delete(f'/v1/images/{handle}').status_code == 204
    assert len(service.kept) == 0
    for gone in (client.delete(f'/v1/images/{handle}'), client.post('/v1/tasks/caption', json=dict(handle=handle))):
        assert gone.status_code == 404 and 'no image of this handle' in error_of(gone)


def test_several_tasks_of_a_new_image(client) -> None:
    tasks = dict(semantic=dict(classes=NAMES), vqa=dict(questions='what is it?'))
    for response in (
        client.post('/v1/predict', json=dict(image=in_base64(png()), tasks=tasks)),
        client.post('/v1/predict', files=dict(image=png()), data=dict(tasks=json.dumps(tasks))),
    ):
        assert response.status_code == 200
        assert {task: result['task'] for task, result in response.json()['results'].items()} == {t: t for t in tasks}
    wrong = client.post('/v1/predict', json=dict(image=in_base64(png()), tasks=dict(caption={}, vqa={})))
    assert wrong.status_code == 422 and error_of(wrong).startswith("vqa: task 'vqa' needs questions")
    assert 'tasks is' in error_of(client.post('/v1/predict', json=dict(image=in_base64(png()), tasks=['caption', 5])))


def test_overlays(client) -> None:
    request = dict(image=in_base64(png()), classes=NAMES)
    alone = client.post('/v1/tasks/panoptic', json=request, headers=dict(Accept='image/png'))
    assert alone.headers['content-type'] == 'image/png'
    within = client.post('/v1/tasks/panoptic', json=dict(request, return_vis=True)).json()
    assert base64.b64decode(within['visualization']) == alone.content
    assert Image.open(io.BytesIO(alone.content)).width >= 48


def test_masks_are_files_or_rle(client) -> None:
    mask = np.zeros((32, 48), dtype=np.uint8)
    mask[4:20, 6:30] = 255
    file = io.BytesIO()
    Image.fromarray(mask).save(file, 'PNG')
    by_file = client.post('/v1/tasks/refcaption', files=[('image', png()), ('masks', file.getvalue())])
    (region,) = by_file.json()['regions']
    assert region['bbox'] == [6, 4, 24, 16]
    for given in (in_base64(file.getvalue()), region['segmentation']):
        by_json = client.post('/v1/tasks/refcaption', json=dict(image=in_base64(png()), masks=[given]))
        assert by_json.json()['regions'] == by_file.json()['regions']
    for wrong in ('/etc/passwd', 'region.png', dict(size=[32, 48], counts='???'), dict(size=[99999, 99999]), 7, []):
        response = client.post('/v1/tasks/refcaption', json=dict(image=in_base64(png()), masks=[wrong]))
        assert response.status_code in (413, 422) and error_of(response).startswith('mask 1')


@pytest.mark.parametrize(
    'request_of, status, told',
    [
        (dict(json=dict()), 422, 'give one of image'),
        (dict(json=[1]), 422, 'accepted is an object'),
        (dict(json=dict(handle=3)), 422, 'handle is 3'),
        (dict(json=dict(image=in_base64(png()), handle='x')), 422, 'give one of image'),
        (dict(json=dict(image='http://127.0.0.1/a.jpg')), 422, 'an address, which this server does not fetch'),
        (dict(json=dict(image='file:///etc/passwd')), 422, 'an address'),
        (dict(json=dict(image='/etc/passwd')), 422, 'image'),
        (dict(json=dict(image=in_base64(b'GIF89a'))), 422, 'image'),
        (dict(json=dict(image=in_base64(png(101, 100)), classes=NAMES)), 413, '101x100 pixels; accepted are 10000'),
        (dict(json=dict(image=in_base64(png()), clases=NAMES)), 422, 'did you mean classes?'),
        (dict(json=dict(image=in_base64(png()), classes=NAMES, print_result=True)), 422, 'print_result'),
        (dict(json=dict(image=in_base64(png()), vocabulary='/etc/passwd')), 422, 'unknown class list'),
        (dict(json=dict(image=in_base64(png()), classes=[f'name {i}' for i in range(21)])), 413, '21 class names'),
        (dict(json=dict(image=in_base64(png()), classes='a' * 41)), 413, '41 characters in one text'),
        (dict(json=dict(image=in_base64(png()), classes='a' * 600)), 413, '607 characters'),
        (dict(json=dict(image=in_base64(png()), classes=NAMES, score=7)), 422, 'score is 7'),
        (dict(content=b'{"image": NaN}', headers={'content-type': 'application/json'}), 400, 'NaN'),
        (dict(content=b'{"a": 1', headers={'content-type': 'application/json'}), 400, 'cannot be read'),
        (dict(content=b'[' * 90_000, headers={'content-type': 'application/json'}), 400, 'nested too deeply'),
        (dict(content=b'[' * 190_000, headers={'content-type': 'application/json'}), 413, '100000 values'),
        (dict(content=b'x', headers={'content-type': 'text/plain'}), 415, 'text/plain'),
        (dict(content=b'x', headers={'content-type': 'application/json', 'content-encoding': 'gzip'}), 415, 'gzip'),
        (dict(content=b'x' * 200_001), 413, 'more than 200000 bytes'),
        (dict(content=iter([b'x' * 150_000] * 2)), 413, 'more than 200000 bytes'),
        (dict(content=b'--b\r\n', headers={'content-type': 'multipart/form-data; boundary=b'}), 400, 'multipart'),
        (dict(content=b'--b', headers={'content-type': 'multipart/form-data'}), 400, 'multipart'),
        (dict(files=[('image', png()), ('image', png())]), 422, 'several parts called image'),
        (dict(files=dict(picture=png())), 422, "part 'picture' is a file"),
        (dict(files=dict(image=png()), data=dict(classes=NAMES, mask='a half')), 422, 'mask is'),
        (dict(files=dict(image=png()), data=dict(classes=NAMES, return_vis='perhaps')), 422, 'true and false'),
        (dict(files=dict(image=png()), data=dict(classes=b'caf\xe9')), 422, "'classes' is no text in UTF-8"),
        (dict(content=b'{"a": 1, "a": 2}', headers={'content-type': 'application/json'}), 400, "'a' stands twice"),
        (dict(content=b'{"score": 1e999}', headers={'content-type': 'application/json'}), 400, '1e999 is no number'),
        (dict(content=b'{}', headers={'content-type': 'application/json', 'content-length': 'x'}), 422, 'give one of'),
        (dict(files=dict(masks=png()), data=dict(handle=['a', 'b'])), 422, '2 parts called handle'),
    ],
)
def test_refusals_are_one_line(request_of: dict, status: int, told: str, client) -> None:
    response = client.post('/v1/tasks/panoptic', **request_of)
    assert response.status_code == status
    assert told in error_of(response)


def test_base64_in_lines(client) -> None:
    answer = client.post('/v1/tasks/panoptic', json=dict(image=base64.encodebytes(png()).decode(), classes=NAMES))
    assert answer.status_code == 200 and answer.json()['width'] == 48


def test_amounts(client) -> None:
    image = in_base64(png())
    for task, options, told in (
        ('refseg', dict(phrases=[f'a dog {i}' for i in range(6)]), '6 prompts'),
        ('vqa', dict(questions=['what is it?'] * 6), '6 prompts'),
        ('refcaption', dict(boxes=[[1, 1, 9, 9]] * 6), '6 prompts'),
        ('interactive', dict(points=[[n, 1] for n in range(6)]), '6 prompts'),
        ('caption', dict(num_beams=300), '300 texts written at a time'),
        ('caption', dict(max_tokens=101), '101 tokens'),
    ):
        response = client.post(f'/v1/tasks/{task}', json=dict(image=image, **options))
        assert response.status_code == 413 and told in error_of(response)


def test_other_paths(client) -> None:
    assert client.get('/v1/nothing').status_code == 404 and 'v1/tasks' in error_of(client.get('/v1/nothing'))
    assert client.get('/v1/predict').status_code == 405 and 'method' in error_of(client.get('/v1/predict'))
    assert client.get('/healthz').json() == dict(status='ok')
    assert client.get('/readyz').json() == dict(status='ready')
    listed = client.get('/v1/tasks').json()
    assert set(listed['tasks']) == set(REQUESTS) and listed['limits']['prompts'] == 5
    assert listed['tasks']['refseg']['needs_one_of'] == ['phrases']
    assert 'num_beams' in listed['tasks']['caption']['options']
    assert client.get('/docs').status_code == client.get('/redoc').status_code == 404


def test_metrics(client) -> None:
    before = client.get('/metrics').text
    client.post('/v1/tasks/caption', json={})
    client.get('/somewhere/else')
    text = client.get('/metrics').text

    def value(line: str, text: str) -> float:
        return next((float(row.split()[-1]) for row in text.splitlines() if row.startswith(line + ' ')), 0)

    for line in (
        'xdet_requests_total{endpoint="/v1/tasks/caption",status="422"}',
        'xdet_request_seconds_count{endpoint="/v1/tasks/caption"}',
        'xdet_requests_total{endpoint="other",status="404"}',
    ):
        assert value(line, text) == value(line, before) + 1
    assert value('xdet_requests_waiting', text) == 0 and value('process_resident_memory_bytes', text) > 0


def test_faults_are_500_and_logged(client, service: Service, monkeypatch, caplog) -> None:
    def fail(*_, **__):
        raise KeyError('a secret of the program')

    monkeypatch.setattr(service, '_answer_one', fail)
    response = client.post('/v1/tasks/caption', json=dict(image=in_base64(png())))
    assert response.status_code == 500 and 'secret' not in error_of(response)
    assert 'a secret of the program' in caplog.text


class Held:
    """Keeps the thread of the model busy."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.free, self.sizes = threading.Event(), threading.Event(), []
        original = Service._answer

        def wait(questions):
            self.sizes.append(len(questions))
            self.begun.set()
            assert self.free.wait(20)
            return original(service, questions)

        monkeypatch.setattr(service, '_answer', wait)


def test_full_queue_and_batches(client, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(service, monkeypatch)
    images = [png(seed=seed) for seed in range(4)]
    results: dict[int, object] = {}

    def ask(number: int) -> None:
        request = dict(image=in_base64(images[number]), classes=NAMES)
        results[number] = client.post('/v1/tasks/panoptic', json=request)

    threads = [threading.Thread(target=ask, args=(0,))]
    threads[0].start()
    assert held.begun.wait(20)
    for number in (1, 2, 3):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
    wait_for(lambda: service.worker.waiting == 3)
    full = client.post('/v1/tasks/panoptic', json=dict(image=in_base64(images[0]), classes=NAMES))
    assert full.status_code == 429 and full.headers['retry-after'] == '1' and '3 requests wait' in error_of(full)
    assert client.get('/readyz').status_code == 429 and client.get('/healthz').status_code == 200
    held.free.set()
    for thread in threads:
        thread.join()
    assert held.sizes == [1, 3]
    for number, image in enumerate(images):
        alone = client.post('/v1/tasks/panoptic', json=dict(image=in_base64(image), classes=NAMES)).json()
        together = results[number].json()
        assert [s['segmentation'] for s in together['segments']] == [s['segmentation'] for s in alone['segments']]
        assert together['index'] == 0


def wait_for(condition) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_unanswered_in_time(inferencer: XDecoderInferencer, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(inferencer, Limits(seconds=0.2))
    held = Held(service, monkeypatch)
    with testclient.TestClient(make_app(service)) as client:
        answers = [client.post('/v1/tasks/caption', json=dict(image=in_base64(png()))) for _ in range(2)]
        assert service.worker.waiting == 0  # the second left the queue, so the model never sees it
        held.free.set()
    assert [answer.status_code for answer in answers] == [503, 503]
    assert 'within 0.2 s' in error_of(answers[0]) and held.sizes == [1]


def test_stopping(inferencer: XDecoderInferencer) -> None:
    service = Service(inferencer, LIMITS)
    with testclient.TestClient(make_app(service)) as client:
        service.stopping = True
        for response in (client.get('/readyz'), client.post('/v1/tasks/caption', json={})):
            assert response.status_code == 503 and 'stopping' in error_of(response)
        assert client.get('/healthz').status_code == 200
    assert not service.worker.is_alive


def test_token_hosts_and_origins(inferencer: XDecoderInferencer) -> None:
    app = make_app(Service(inferencer, LIMITS), token='s3cret', hosts={'testserver'})
    with testclient.TestClient(app) as client:
        assert client.get('/healthz').status_code == 200
        for headers in ({}, dict(Authorization='Bearer wrong'), dict(Authorization='Basic s3cret')):
            refused = client.get('/v1/tasks', headers=headers)
            assert refused.status_code == 401 and 'token' in error_of(refused)
        given = dict(Authorization='Bearer s3cret')
        assert client.get('/v1/tasks', headers=given).status_code == 200
        assert client.get('/openapi.json').status_code == 401
        for headers in (dict(Host='evil.example'), dict(Origin='http://evil.example'), dict(Origin='null')):
            assert client.get('/v1/tasks', headers={**given, **headers}).status_code == 403
        assert client.get('/v1/tasks', headers={**given, 'Origin': 'http://testserver'}).status_code == 200


def test_openapi_is_made_of_the_declaration(client) -> None:
    described = client.get('/openapi.json').json()
    assert '://' not in json.dumps(described)
    for task in REQUESTS:
        post = described['paths'][f'/v1/tasks/{task}']['post']
        for kind in ('application/json', 'multipart/form-data'):
            schema = post['requestBody']['content'][kind]['schema']
            assert set(REQUESTS[task]) <= set(schema['properties'])
        assert {'200', '413', '422', '429', '503'} <= set(post['responses'])
    refseg = described['paths']['/v1/tasks/refseg']['post']
    assert refseg['requestBody']['content']['application/json']['schema']['required'] == ['phrases']
    result = refseg['responses']['200']['content']['application/json']['schema']
    assert result['properties']['segments']['items']['properties']['phrase'] == dict(type='string')
    assert 'presence' in result['properties']['segments']['items']['required']


def test_results_fit_their_schemas(client) -> None:
    described = client.get('/openapi.json').json()
    for task, options in REQUESTS.items():
        result = client.post(f'/v1/tasks/{task}', json=dict(image=in_base64(png()), **options)).json()
        content = described['paths'][f'/v1/tasks/{task}']['post']['responses']['200']['content']
        check(result, content['application/json']['schema'], task)


def check(value, schema: dict, where: str) -> None:
    """What of JSON schema the description uses."""
    kinds = dict(object=dict, array=list, string=str, number=(int, float), integer=int, boolean=bool)
    if 'type' in schema:
        assert isinstance(value, kinds[schema['type']]), where
    for name in schema.get('required', ()):
        assert name in value, f'{where}.{name}'
    for name, part in schema.get('properties', {}).items():
        if name in value:
            check(value[name], part, f'{where}.{name}')
    for entry in value if 'items' in schema else ():
        check(entry, schema['items'], f'{where}[]')
