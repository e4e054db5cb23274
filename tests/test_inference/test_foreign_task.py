"""A task of another package works like those of xdet: prompts, results, summary, text below the image, command line."""

import copy
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.tools import load_script

from xdet.apis import XDecoderInferencer
from xdet.inference.inputs.options import known_prompts, split_options
from xdet.inference.inputs.requests import make_requests
from xdet.options import Option
from xdet.registry import TASK_FORMATS, TASKS
from xdet.structures import FORMATS, TaskFormat

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tiny_config, tmp_path):
    """A config file that needs nothing but ``custom_imports``; what it registers is forgotten afterwards."""
    cfg = copy.deepcopy(tiny_config)
    cfg.custom_imports = dict(imports=['tiny.foreign_task'], allow_failed_imports=False)
    cfg.model.tasks.probe = dict(type='ProbeTask')
    path = tmp_path / 'foreign.py'
    cfg.dump(str(path))
    yield path
    sys.modules.pop('tiny.foreign_task', None)
    TASKS.module_dict.pop('ProbeTask', None)
    TASK_FORMATS.module_dict.pop('probe', None)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'photo.png'
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (60, 80, 3), np.uint8)).save(path)
    return path


def test_python(config, image, tmp_path, capsys):
    inferencer = XDecoderInferencer(str(config), random_weights=True, device='cpu')
    assert 'probe' in inferencer.task_names and list(FORMATS)[-1] == 'probe'
    plain = inferencer(str(image), task='caption', return_vis=True, max_tokens=1)
    result = inferencer(
        str(image), task='probe', probes='3 4; 70 50', out_dir=tmp_path, print_result=True, return_vis=True
    )
    strengths = result['predictions'][0]['strengths']
    assert [row['point'] for row in strengths] == [[3, 4], [70, 50]]
    assert json.loads((tmp_path / 'preds' / 'photo.json').read_text())['strengths'] == strengths
    assert f'[70, 50]: {strengths[1]["strength"]:.3f}' in capsys.readouterr().out
    assert result['visualization'][0].shape[0] > plain['visualization'][0].shape[0]  # two lines instead of one
    encoded = inferencer.set_image(str(image))
    again = inferencer.predict('probe', encoded, probes='3 4; 70 50')['predictions'][0]['strengths']
    np.testing.assert_allclose([row['strength'] for row in again], [row['strength'] for row in strengths], rtol=1e-5)


@pytest.mark.parametrize(
    'task, prompts, error, message',
    [
        ('probe', {}, ValueError, "task 'probe' needs probes, for example probes='3 4; 10 20'"),
        ('probe', dict(probes='a'), ValueError, "probes is 'a'; accepted are points 'x y; x y'"),
        ('probe', dict(phrases='a'), ValueError, "'probe' does not take phrases; accepted are probes"),
        ('caption', dict(probes='1 1'), ValueError, "'caption' does not take probes"),
        ('probe', dict(prob='1 1'), TypeError, 'did you mean probes'),
    ],
)
def test_wrong_prompts_end_in_one_line(config, image, task, prompts, error, message):
    inferencer = XDecoderInferencer(str(config), random_weights=True, device='cpu')
    with pytest.raises(error, match=message):
        inferencer(str(image), task=task, **prompts)


def test_command_line(config, image, tmp_path, capsys):
    demo = load_script('demo/image_demo.py')
    model = ['--model', str(config), '--random-weights', '--device', 'cpu', '--out-dir', str(tmp_path / 'out')]
    assert demo.main([str(image), *model, '--task', 'probe', '--probes', '3 4; 70 50']) == 0
    assert '[70, 50]: ' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        demo.main([str(image), *model, '--task', 'probe', '--pints', '3 4'])
    assert 'unrecognized arguments: --pints' in capsys.readouterr().err


def test_prompts_of_other_packages_are_known_only_where_they_are_imported():
    assert 'probes' not in known_prompts()


@pytest.fixture
def named():
    """A format of another package with prompts of the given kinds."""

    def register(**options):
        class Format(TaskFormat):
            prompts = tuple(options)

            @classmethod
            def own_options(cls):
                return {name: replace(option, name=name) for name, option in options.items()}

        TASK_FORMATS.register_module(name='named', module=Format)

    yield register
    TASK_FORMATS.module_dict.pop('named', None)


def test_kinds_of_prompts(named):
    named(depth=Option('a number', 'value'), colours=Option('texts', 'texts'), generation=Option('a word', 'value'))
    given = dict(depth=3, colours=[['red'], ['blue', 'green']], generation='late')
    first, second = make_requests('named', given, {}, 2)
    assert first.more == dict(depth=3, colours=('red',), generation='late') and first.generation == {}
    assert second.more['colours'] == ('blue', 'green')


@pytest.mark.parametrize('name', ['phrases', 'num_beams', 'return_vis'])
def test_names_that_xdet_uses_are_refused(named, name):
    named(**{name: Option('something else', 'value')})
    with pytest.raises(ValueError, match=f"'named' declares the option '{name}', which xdet has"):
        split_options({})


def test_served(config, image):
    pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
    testclient = pytest.importorskip('starlette.testclient', reason='httpx2 is not installed (requirements/tests.txt)')
    from xdet.serve.app import make_app
    from xdet.serve.limits import Limits
    from xdet.serve.service import Service

    inferencer = XDecoderInferencer(str(config), random_weights=True, device='cpu')
    expected = inferencer(str(image), task='probe', probes='3 4; 70 50')['predictions'][0]
    with testclient.TestClient(make_app(Service(inferencer, Limits()))) as client:
        file = dict(image=image.read_bytes())
        given = client.post('/v1/tasks/probe', files=file, data=dict(probes='3 4; 70 50'))
        assert given.json()['strengths'] == expected['strengths']
        wrong = client.post('/v1/tasks/probe', files=file, data=dict(probes='here'))
        assert wrong.status_code == 422 and 'accepted are points' in wrong.json()['error']
        described = client.get('/openapi.json').json()['paths']['/v1/tasks/probe']['post']
    schema = described['requestBody']['content']['application/json']['schema']
    assert schema['required'] == ['probes'] and 'where to probe' in schema['properties']['probes']['description']
