"""Trainings from what webhooks and requests brought."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
pytest.importorskip('starlette.testclient', reason='httpx2 is not installed (requirements/tests.txt)')

from tiny.label_studio import CONFIG, HEIGHT, LIMITS, PROJECT, WIDTH, backend, error_of, rectangle, task  # noqa: E402

from xdet.datasets.exchange.row_codes import encode_brush  # noqa: E402
from xdet.serve.label_studio import app as app_module  # noqa: E402
from xdet.serve.label_studio.images import TaskImages  # noqa: E402
from xdet.serve.label_studio.training import Training  # noqa: E402
from xdet.serve.service import Service  # noqa: E402

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
    client = backend(service, folder, training)
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
    client = backend(service, folder, training)
    tasks = [dict(task(), annotations=[annotation(0)]), dict(task('x.png', 2), annotations=[])]
    body = dict(annotations=tasks, project=PROJECT, label_config=CONFIG)
    boxes = [dict(task(), annotations=[annotation(0, mask=False)])]
    assert 'boxes alone teach no masks' in error_of(client.post('/train', json=body | dict(annotations=boxes)))
    missing = [dict(task('none.png'), annotations=[annotation(0)])]
    assert 'task-1: none.png: file does not' in error_of(client.post('/train', json=body | dict(annotations=missing)))
    for project in (None, '../7', 'x', True, dict(id='../../x'), -1):
        assert 'project is' in error_of(client.post('/train', json=body | dict(project=project)))
    assert client.post('/train', json=body).status_code == 201
    assert 'is running already' in error_of(client.post('/train', json=body), 409)
    training.close()
    assert client.get('/job_status').json()['state'] == 'failed'


def test_what_cannot_be_trained_from(service: Service, folder: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, TaskImages(folder, None, LIMITS.body_bytes), 3, [sys.executable, '-c', ''])
    client = backend(service, folder, training)

    def refused(*tasks: dict) -> str:
        return error_of(client.post('/train', json=dict(annotations=tasks, project=7, label_config=CONFIG)))

    def changed(value: dict, **entries: object) -> dict:
        made = annotation(0)
        made['result'][0]['value'].update(value)
        made['result'][0].update(entries)
        return dict(task(), annotations=[made])

    assert refused() == 'nothing to train from: no task has an annotation'
    assert refused(changed({}), changed({})) == 'task-1 stands twice in the request'
    assert refused(changed(dict(rle=[0, 0]))).endswith('its rle ends too early')
    assert refused(changed({}, original_width=HEIGHT, original_height=WIDTH)).startswith('task-1.png: 32x48 annotated')
    assert 'not an image' in refused(dict(task('broken.jpg'), annotations=[annotation(0)]))
    assert not list(tmp_path.glob('project-7/*'))


def test_trainings_within_a_second_have_folders_of_their_own(service: Service, folder: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, TaskImages(folder, None, LIMITS.body_bytes), 3, [sys.executable, '-c', ''])
    client = backend(service, folder, training)
    body = dict(annotations=[dict(task(), annotations=[annotation(0)])], project=7, label_config=CONFIG)
    for _ in range(3):
        assert client.post('/train', json=body).status_code == 201
        wait_for(client)
    assert len(list(tmp_path.glob('project-7/*'))) == 3


def test_annotations_of_one_event(service: Service, folder: Path, tmp_path: Path) -> None:
    client = backend(service, folder, Training(tmp_path, TaskImages(folder, None, LIMITS.body_bytes), 3))
    tasks = [task(f'in/{number}%20a.png', number) for number in range(3)]
    made = [annotation(1), annotation(0), annotation(5) | dict(task=1)]
    made[0]['task'], made[1]['task'] = 1, 0
    body = dict(action='ANNOTATIONS_CREATED', project=dict(id=7), annotation=made, task=tasks)
    assert client.post('/webhook', json=body).json() == dict(status='ok')
    kept = {path.name: json.loads(path.read_text()) for path in (tmp_path / 'project-7/tasks').iterdir()}
    ids = {name: [one['id'] for one in entry['annotations']] for name, entry in kept.items()}
    assert ids == {'0.json': [100], '1.json': [101, 105]} and kept['1.json']['data'] == tasks[1]['data']
    for one in made:
        del one['task']  # by their places
    client.post('/webhook', json=body)
    assert json.loads((tmp_path / 'project-7/tasks/2.json').read_text())['annotations'][0]['id'] == 105
    wrong = body | dict(annotation=[annotation(0), dict(id=1, result=5)])
    assert 'result of the annotation is 5' in error_of(client.post('/webhook', json=wrong))


def test_no_event_is_ignored_silently(client, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(app_module, 'warn_once', told.append)
    assert client.post('/webhook', json=dict(action='TASKS_CREATED')).json()['detail'].endswith('changes nothing here')
    assert 'training is off' in client.post('/webhook', json=event('ANNOTATIONS_CREATED', 0)).json()['detail']
    assert len(told) == 1 and '--train-dir' in told[0]
    assert "event 'ANNOTATED' is unknown" in error_of(client.post('/webhook', json=dict(action='ANNOTATED')))


def test_events_that_cannot_be_kept(service: Service, folder: Path, tmp_path: Path) -> None:
    training = Training(tmp_path / 'runs', TaskImages(folder, None, LIMITS.body_bytes), 3)
    client = backend(service, folder, training)
    made = event('ANNOTATION_CREATED', 0)
    for wrong in ({}, dict(id=[1], result=[]), dict(id=1, result=5)):
        assert 'of the annotation is' in error_of(client.post('/webhook', json=made | dict(annotation=wrong)))
    assert client.post('/webhook', json=made).status_code == 200
    kept = tmp_path / 'runs/project-7/tasks/0.json'
    deleted = dict(action='ANNOTATIONS_DELETED', project=7, annotations=[5])
    for damage in ('', '[]', '{"annotations": ["x"]}'):
        kept.write_text(damage)
        assert '0.json' in error_of(client.post('/webhook', json=deleted), 500)
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text('')
    for body in (made, deleted):
        assert 'the folder of trainings' in error_of(client.post('/webhook', json=body), 500)


def test_training_is_off(client) -> None:
    for path, body in (('/webhook', dict(action='START_TRAINING')), ('/train', dict(annotations=[]))):
        assert 'start with --train-dir' in error_of(client.post(path, json=body), 403)
    assert client.post('/webhook', json=event('ANNOTATION_CREATED', 0)).status_code == 200
    assert "'action' is 3" in error_of(client.post('/webhook', json=dict(action=3)))


# ------------------------------------------------------------------------------------------------ asking Label Studio
