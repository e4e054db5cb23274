"""Requests as Label Studio sends them, and a backend in this process that answers them."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from xdet.serve.label_studio.app import Settings, make_app
from xdet.serve.label_studio.images import TaskImages
from xdet.serve.label_studio.training import Training
from xdet.serve.limits import Limits
from xdet.serve.service import Service

LIMITS = Limits(body_bytes=300_000, pixels=10_000, names=20, prompts=5, text=40, characters=500, queue=3, seconds=20)
WIDTH, HEIGHT = 48, 32
PROJECT = '7.1700000000'


def label_config(*kinds: str, labels: str = '<Label value="cat"/><Label value="dog" alias="D"/>') -> str:
    controls = ''.join(f'<{kind} name="{kind[:4]}" toName="photo">{labels}</{kind}>' for kind in kinds)
    return f'<View><Image name="photo" value="$picture"/>{controls}</View>'


CONFIG = label_config('KeyPointLabels', 'RectangleLabels', 'BrushLabels')


def backend(service: Service, folder: Path, training: Training | None = None, token: str | None = None, **settings):
    images = TaskImages(folder, None, LIMITS.body_bytes)
    app = make_app(service, token, None, Settings(images, score=0.0, training=training, **settings))
    return TestClient(app, raise_server_exceptions=False)


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
