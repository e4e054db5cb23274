"""The wheel and the editable install work with mim: search, download, train, test and run, without any network.

The repository is copied, its metafile points at a local server with a small checkpoint and a tiny trainable config is
added; everything else is what users get. Each install goes into its own virtual environment, which sees the packages of
this one, so that nothing has to be downloaded.
"""

from __future__ import annotations

import ast
import functools
import http.server
import json
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from tiny.data import write_pictures
from tiny.tools import CONFIG, data_options

from xdet.registry import MODELS
from xdet.version import __version__

ROOT = Path(__file__).resolve().parents[1]
NAME = 'xdecoder_tiny-mim'
LEFT_OUT = shutil.ignore_patterns(
    '.git', '.venv*', 'build', 'dist', '*.egg-info', 'outputs', 'work_dirs', 'data', '__pycache__', '.*_cache', 'shared'
)


@pytest.fixture(scope='module')
def mim() -> None:
    try:
        found = metadata.version('onedl-mim')
    except metadata.PackageNotFoundError:
        pytest.skip('onedl-mim is not installed (pip install -r requirements/mim.txt)')
    if found != '0.5.1':
        pytest.skip(f'onedl-mim {found} is installed, the layout is made for 0.5.1')


@pytest.fixture(scope='module')
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a checkpoint of the tiny run."""
    folder = tmp_path_factory.mktemp('served')
    model = MODELS.build(Config.fromfile(str(CONFIG)).model)
    torch.save(model.state_dict(), folder / 'tiny.pth')
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/tiny.pth'
        server.shutdown()


@pytest.fixture(scope='module')
def source(served: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of the repository with the tiny model in its zoo."""
    copy = tmp_path_factory.mktemp('source') / 'repository'
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    Config.fromfile(str(CONFIG)).dump(str(copy / 'configs' / 'xdecoder' / f'{NAME}.py'))
    metafile = copy / 'configs' / 'xdecoder' / 'metafile.yml'
    content = yaml.safe_load(metafile.read_text())
    entry = dict(content['Models'][0], Name=NAME, Config=f'configs/xdecoder/{NAME}.py', Weights=served)
    metafile.write_text(yaml.safe_dump(dict(content, Models=[*content['Models'], entry])))
    return copy


@pytest.fixture(scope='module')
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('wheel')
    options = ['--no-deps', '--no-build-isolation', '--no-index', '--wheel-dir', str(folder)]
    call(sys.executable, '-m', 'pip', 'wheel', '--quiet', *options, str(source))
    [path] = folder.glob('*.whl')
    # An editable install is the repository itself, in which a build folder would hold every config once more.
    shutil.rmtree(source / 'build', ignore_errors=True)
    return path


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp('pictures') / 'data', number=2)


def environment(home: str) -> dict[str, str]:
    """Variables without anything that would make the repository under test importable by accident."""
    kept = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'PYTHONHOME')}
    return {**kept, 'HOME': home, 'OMP_NUM_THREADS': '1', 'PIP_NO_INDEX': '1', 'NO_COLOR': '1', 'PAGER': 'cat'}


def call(*command: str | Path, cwd: Path | None = None) -> str:
    """Output of a command, which has an empty home of its own: mim cannot make its folder there in two processes."""
    with tempfile.TemporaryDirectory() as home:
        result = subprocess.run(
            [*map(str, command)],
            cwd=cwd,
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    assert result.returncode == 0, f'{" ".join(map(str, command))}\n{result.stdout[-4000:]}'
    return result.stdout


# MMEngine lays out the text of every config with it, which takes longer than a tiny training.
PLAIN_YAPF = {
    '__init__.py': '__version__ = "0.43.0"\n',
    'yapflib/yapf_api.py': 'import ast\n\ndef FormatCode(text, **_):\n    return ast.unparse(ast.parse(text)), True\n',
}


def install(folder: Path, *what: str | Path) -> Path:
    """Python of a new virtual environment with ``what`` in it; packages of this one are seen too, ranked last."""
    call(sys.executable, '-m', 'venv', '--without-pip', folder)
    python = folder / 'bin' / 'python'
    packages = Path(call(python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))').strip())
    outer = dict.fromkeys([sysconfig.get_path('purelib'), sysconfig.get_path('platlib'), *site.getsitepackages()])
    (packages / 'outer.pth').write_text('\n'.join(outer) + '\n')
    for name, content in PLAIN_YAPF.items():
        (packages / 'yapf' / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / 'yapf' / name).write_text(content)
    call(python, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation', '--ignore-installed', *what)
    return python


@pytest.fixture(scope='module', params=['wheel', 'editable'])
def python(request: pytest.FixtureRequest, mim: None, wheel: Path, source: Path, tmp_path_factory) -> Path:
    what = [wheel] if request.param == 'wheel' else ['--editable', source]
    return install(tmp_path_factory.mktemp(request.param) / 'venv', *what)


MIM = """
import json, os, sys
import mim.commands
from mim.cli import cli
for arguments in json.loads(sys.argv[1]):
    sys.stdout.flush()
    if os.fork() == 0:
        sys.argv = ['mim', *arguments]
        cli()
        os._exit(0)
    if os.wait()[1]:
        sys.exit('failed: mim ' + ' '.join(arguments))
    print('-- done --')
"""


def test_mim_commands(python: Path, data: Path, tmp_path: Path) -> None:
    """Each in a process of its own, all of which come from one that has imported mim, and with it torch, once."""
    options = data_options(data, 'train_cfg.max_iters=1', 'train_cfg.val_interval=9', 'val_cfg.type=ValLoop')
    commands = [
        ['search', 'xdet', '--valid-config'],
        ['download', 'xdet', '--config', NAME, '--dest', 'zoo'],
        ['train', 'xdet', f'{NAME}.py', '--work-dir', 'trained', '--weights', 'zoo/tiny.pth', *options],
        ['test', 'xdet', f'{NAME}.py', '--checkpoint', 'zoo/tiny.pth', '--work-dir', 'tested', *options],
        ['run', 'xdet', 'generate_scenes', 'scenes', '--num', '1', '--size', '64'],
    ]
    listed, _, _, tested, *_ = call(python, '-c', MIM, json.dumps(commands), cwd=tmp_path).split('-- done --\n')
    listed = ast.literal_eval(listed.strip().splitlines()[-1])
    assert {NAME, 'xdecoder_focal-t', 'xdecoder_focal-l', 'xdecoder_focal-l_oq101'} <= set(listed)
    assert (tmp_path / 'zoo' / 'tiny.pth').stat().st_size > 1e5
    downloaded = Config.fromfile(str(tmp_path / 'zoo' / f'{NAME}.py'))
    assert downloaded.model.to_dict() == Config.fromfile(str(CONFIG)).model.to_dict()
    assert (tmp_path / 'trained' / 'iter_1.pth').exists()
    assert 'semantic/mIoU' in tested
    assert list((tmp_path / 'scenes').rglob('*.png'))


def test_command_is_installed(python: Path, tmp_path: Path) -> None:
    command = python.parent / 'xdet'
    assert call(command, '--version', cwd=tmp_path).strip() == f'xdet {__version__}'
    assert [model['name'] for model in json.loads(call(command, 'models', NAME, '--json', cwd=tmp_path))] == [NAME]
    call(command, 'convert', 'generate_scenes', 'scenes', '--num', '1', '--size', '64', cwd=tmp_path)
    assert list((tmp_path / 'scenes').rglob('*.png'))


SCOPED_NAMES = """
from mmengine.config import Config
from mmengine.hub import get_config
import xdet
from xdet.model_zoo import find_config
whole = get_config('xdet::xdecoder/xdecoder_focal-t.py')
assert whole.model.type == 'XDecoder', whole
with open('mine.py', 'w') as file:
    file.write("_base_ = 'xdet::xdecoder/xdecoder_focal-l.py'\\nmodel = dict(decoder=dict(num_queries=7))\\n")
assert Config.fromfile('mine.py').model.decoder.num_queries == 7
assert find_config('xdet::xdecoder/xdecoder_focal-nano').is_file()
print(xdet.__file__)
"""


def test_scoped_config_names(python: Path, source: Path, tmp_path: Path) -> None:
    imported = Path(call(python, '-c', SCOPED_NAMES, cwd=tmp_path).splitlines()[-1])
    installed = [source, python.parents[1]]
    assert any(imported.is_relative_to(folder) for folder in installed), f'{imported} is not the installed package'


def test_exported_models_run_without_the_toolkit(wheel: Path) -> None:
    content = zipfile.ZipFile(wheel)
    [path] = [name for name in content.namelist() if name.endswith('.dist-info/METADATA')]
    lines = content.read(path).decode().split('\n\n')[0].splitlines()
    extras = {line.removeprefix('Provides-Extra: ') for line in lines if line.startswith('Provides-Extra')}
    needed: dict[str, set[str]] = {name: set() for name in ('', *extras)}
    for line in (line.removeprefix('Requires-Dist: ') for line in lines if line.startswith('Requires-Dist')):
        requirement, _, condition = line.partition(';')
        name = re.match(r'[\w.-]+', requirement).group()
        needed[condition.partition('"')[2].partition('"')[0]].add(name)
    assert needed.pop('') == {'numpy', 'pillow'}
    assert needed.pop('runtime') == {'numpy', 'pillow', 'onnxruntime', 'ftfy', 'regex'}
    assert all('torch' in names for name, names in needed.items() if name != 'openvino')


def test_content_of_the_wheel(wheel: Path, source: Path) -> None:
    assert wheel.name == f'xdet-{__version__}-py3-none-any.whl'
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split('/')[0] for name in names} == {'xdet', '+xdet_mim', f'xdet-{__version__}.dist-info'}
    first = min([*names, '../../../bin/xdet'])
    assert first.startswith('+xdet_mim/'), 'mim takes the folder of the first entry for the package'
    assert 'xdet/py.typed' in names
    for root in ('xdet', '+xdet_mim'):
        for path in ('model-index.yml', 'configs/xdecoder/xdecoder_focal-t.py', 'tools/train.py', 'demo/image_demo.py'):
            assert f'{root}/.mim/{path}' in names
    files = [path.relative_to(source) for path in (source / 'xdet').rglob('*') if path.is_file()]
    assert {path.as_posix() for path in files if not {'.mim', '__pycache__'} & {*path.parts}} <= set(names)
    assert not [name for name in names if '__pycache__' in name]


def test_no_source_file_is_ignored_by_git() -> None:
    """A module that a pattern swallows works for its author only."""
    listed = ('git', 'ls-files', '--others', '--ignored', '--exclude-standard', 'xdet', 'tests', 'tools', 'configs')
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True)
    if found.returncode != 0:
        pytest.skip('not a checkout of git')
    assert not [path for path in found.stdout.splitlines() if path.endswith('.py')]


def test_metafile() -> None:
    """Each model has what mim needs, and every config and link exists where it says."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for path in index['Import']:
        content = yaml.safe_load((ROOT / path).read_text())
        collections = {collection['Name'] for collection in content['Collections']}
        names = [model['Name'] for model in content['Models']]
        assert len(set(names)) == len(names)
        for model in content['Models']:
            assert model['Name'] == model['Name'].lower()
            assert model['In Collection'] in collections
            assert (ROOT / model['Config']).is_file()
            assert model['Weights'].startswith('https://') and ',' not in model['Weights']


def test_requirements_agree() -> None:
    """The tested versions lie in the ranges that the package states, one `name==version` a line."""
    from packaging.requirements import Requirement

    lines = (ROOT / 'requirements' / 'constraints-ci.txt').read_text().splitlines()
    pins = dict(line.split('==') for line in lines)
    for path in {*(ROOT / 'requirements').glob('*.txt')} - {ROOT / 'requirements' / 'constraints-ci.txt'}:
        for line in path.read_text().splitlines():
            if line and not line.startswith(('#', '-r')):
                requirement = Requirement(line)
                pin = pins.get(requirement.name)
                assert pin is None or requirement.specifier.contains(pin), f'{line} excludes {pin}'
