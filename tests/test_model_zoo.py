from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from xdet import model_zoo
from xdet.config_references import refuse_lost_deletes
from xdet.model_zoo import (
    DEFAULT_MODEL,
    EMBEDDED,
    fill_in,
    find_config,
    list_models,
    load_config,
    read_config,
    resolve_device,
    resolve_model,
)


@pytest.mark.parametrize(
    'name',
    [
        'xdecoder_focal-t',
        'xdecoder_focal-t.py',
        'xdecoder/xdecoder_focal-t',
        'xdet::xdecoder/xdecoder_focal-t',
        'xdet::xdecoder/xdecoder_focal-t.py',
    ],
)
def test_names_of_shipped_configs(name):
    assert find_config(name).name == 'xdecoder_focal-t.py'


def test_paths(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("model = dict(type='X')")
    assert find_config(str(path)) == path


def test_list_models():
    assert {'xdecoder_focal-t', 'xdecoder_focal-l', 'xdecoder_focal-nano'} <= set(list_models())
    assert all('focal-l' in name for name in list_models('*focal-l*'))
    assert 'default_runtime' not in list_models()


def test_installed_wheel(tmp_path, monkeypatch):
    shipped = tmp_path / 'site-packages' / 'xdet' / '.mim' / 'configs' / 'xdecoder'
    shipped.mkdir(parents=True)
    (shipped / 'only_here.py').write_text('')
    monkeypatch.setattr(model_zoo, 'PACKAGE', tmp_path / 'site-packages' / 'xdet')
    assert list_models() == ['only_here']
    assert find_config('xdet::xdecoder/only_here') == shipped / 'only_here.py'
    monkeypatch.setattr(model_zoo, 'PACKAGE', tmp_path / 'nowhere' / 'xdet')
    with pytest.raises(FileNotFoundError, match='reinstall'):
        list_models()


@pytest.mark.parametrize(
    'name, message',
    [
        ('xdecoder_focal_t', "'xdecoder_focal_t'.*did you mean xdecoder_focal-t"),
        ('photo', 'did you mean photos'),
        ('elsewhere/xdecoder_focal-t', 'neither a config file nor a shipped model'),
        ('zzz', 'shipped models: .*xdecoder_focal-t'),
        ('missing.py', 'neither a config file nor a shipped model'),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(FileNotFoundError, match=message):
        find_config(name)


def test_weights_are_needed_except_for_the_embedded_model():
    with pytest.raises(ValueError, match='no weights for xdecoder_focal-t'):
        resolve_model('xdecoder_focal-t', None, random_weights=False)
    assert resolve_model('xdecoder_focal-t', None, random_weights=True).weights is None
    assert resolve_model('xdecoder_focal-t', 'w.pt', random_weights=False).weights == 'w.pt'


@pytest.mark.parametrize('name', EMBEDDED)
def test_embedded_models(name, tmp_path, monkeypatch):
    """Short name and name of the config mean the same; so does no name, for the default."""
    model = EMBEDDED[name]
    root = model_zoo.config_root()
    monkeypatch.setattr(model_zoo, 'config_root', lambda: root)
    monkeypatch.setattr(model_zoo, 'PACKAGE', tmp_path)
    names = [name, model.config, f'xdet::xdecoder/{model.config}.py', *([None] if name == DEFAULT_MODEL else [])]
    with pytest.raises(FileNotFoundError, match=f"embedded weights .*{model.file} of model '{name}' are missing"):
        resolve_model(name, None, random_weights=False)
    model.weights.parent.mkdir()
    model.weights.write_bytes(b'')
    for given in names:
        spec = resolve_model(given, None, random_weights=False)
        assert (spec.name, spec.embedded, spec.weights) == (model.config, model, str(model.weights))
    assert resolve_model(name, 'own.pth', random_weights=False).embedded is None
    assert resolve_model(name, None, random_weights=True).embedded is None


def test_embedded_models_say_what_they_know():
    """One line each, different ones, and class names that the config can answer for."""
    assert len({model.knows for model in EMBEDDED.values()}) == len(EMBEDDED)
    for model in EMBEDDED.values():
        assert '\n' not in model.knows + model.elsewhere and len(model.vocabulary.names) > 1
    assert EMBEDDED['scenes'].known_words.unfamiliar('a red circle, a cat', 'texts') == ('cat',)
    answers = load_config(find_config('photos')).model.tasks.vqa.answers
    assert set(EMBEDDED['photos'].vocabulary.names) <= set(answers)


@pytest.mark.parametrize(
    'arguments, error, message',
    [
        ((None, 'w.pt', False), ValueError, 'without a model'),
        (('xdecoder_focal-t', 'w.pt', True), ValueError, 'not both'),
        ((3, None, True), TypeError, 'model is a int'),
        ((Config(dict(a=1)), None, True), ValueError, "no 'model'"),
    ],
)
def test_contradictions(arguments, error, message):
    with pytest.raises(error, match=message):
        resolve_model(*arguments)


@pytest.mark.parametrize('content', ['model = dict(', "_base_ = './missing.py'", '1 / 0'])
def test_broken_config_ends_in_one_line(tmp_path, content):
    path = tmp_path / 'broken.py'
    path.write_text(content)
    with pytest.raises(ValueError, match='broken.py cannot be read') as caught:
        resolve_model(str(path), None, random_weights=True)
    assert '\n' not in str(caught.value)


def test_devices():
    assert resolve_device('cpu') == torch.device('cpu')
    assert resolve_device('auto').type in ('cpu', 'cuda', 'mps')
    with pytest.raises(ValueError, match="'gpu' is unknown; accepted are auto"):
        resolve_device('gpu')
    with pytest.raises(ValueError, match="'meta' holds no numbers"):
        resolve_device('meta')
    with pytest.raises(ValueError, match='not available'):
        resolve_device(f'cuda:{torch.cuda.device_count()}')


@pytest.mark.parametrize(
    'files, message',
    [
        ({'c.yaml': '!!python/object/apply:os.system ["touch ran"]'}, 'no Python file; configs are .py'),
        ({'c.json': '{"model": {"type": "subprocess.Popen", "args": ["touch", "ran"]}}'}, 'no Python file'),
        ({'c.py': "_base_ = 'b.yml'", 'b.yml': '!!python/object/apply:os.system ["touch ran"]'}, "_base_ '.*b.yml'"),
        ({'c.py': "_base_ = ['b.py']", 'b.py': "_base_ = 'c.py'"}, r'leads back to itself: c.py -> b.py -> c.py'),
        ({'c.py': "_base_ = 'c.py'"}, 'leads back to itself: c.py -> c.py'),
        ({'c.py': "_base_ = 'gone.py'"}, "_base_ '.*gone.py' does not exist"),
        ({'c.py': "_base_ = 'nopackage::a/b.py'"}, "_base_ 'nopackage::a/b.py' cannot be found"),
        ({'c.py': '_base_ = 5'}, '_base_ is 5; accepted are paths'),
        ({'c.py': 'raise SystemExit'}, 'SystemExit'),
        ({'c.py': 'exit(3)'}, 'SystemExit'),
        ({'c.py': 'a = ('}, 'SyntaxError|syntax'),
        ({'c.py': ''}, 'is empty'),
        ({'c.py': 'a = 1 / 0'}, 'ZeroDivisionError: division by zero'),
    ],
)
def test_bad_configs_end_in_one_line_and_data_is_never_run(tmp_path, monkeypatch, files, message):
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        model_zoo.load_config(tmp_path / next(iter(files)))
    assert '\n' not in str(caught.value) and not (tmp_path / 'ran').exists()


def test_bases_by_package_and_by_folder(tmp_path):
    (tmp_path / 'b.py').write_text('x = 1')
    (tmp_path / 'c.py').write_text("_base_ = ['{{ fileDirname }}/b.py', 'xdet::_base_/default_runtime.py']")
    cfg = model_zoo.load_config(tmp_path / 'c.py')
    assert cfg.x == 1 and cfg.default_scope == 'xdet'


def test_import_of_what_is_not_installed(tmp_path):
    (tmp_path / 'run.py').write_text('import nosuchpackage\n')
    with pytest.raises(ValueError, match='run.py cannot be read: ModuleNotFoundError: .*nosuchpackage'):
        read_config(tmp_path / 'run.py')


def test_name_longer_than_a_path():
    with pytest.raises(FileNotFoundError, match='10000 characters') as caught:
        find_config('x' * 10_000)
    assert len(str(caught.value)) < 4000


def test_references_are_values_of_the_finished_config() -> None:
    cfg = Config(
        dict(
            root='data',
            folder='${root}/images',
            size=64,
            names=['a'],
            pipeline=[dict(scale=('${size}', '${size}')), dict(names='${names}')],
            joined='${folder}-${size}',
            load_from='${embedded_scenes}',
            start='${embedded_photos}',
        )
    )
    cfg.merge_from_dict(dict(root='my', size=32))
    filled = fill_in(cfg)
    assert filled.folder == 'my/images' and filled.joined == 'my/images-32'
    assert filled.pipeline[0].scale == (32, 32) and filled.pipeline[1].names == ['a']
    assert [Path(filled.load_from), Path(filled.start)] == [EMBEDDED[name].weights for name in ('scenes', 'photos')]
    assert cfg.folder == '${root}/images'
    assert fill_in(filled) is filled


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (dict(a='${b}'), r"'\$\{b\}' refers to a top-level value 'b', which the config does not have"),
        (dict(a='${b}', b='${a}'), r'refers to itself \(\w -> \w -> \w'),
        (dict(a='x-${b}', b=[1]), r"'x-\$\{b\}' refers to \[1\]; inside of a string only strings and numbers"),
        (dict(a='${val_file}', val_file='x', val_fil='y'), "'val_fil' is read by nothing; did you mean 'val_file'"),
    ],
)
def test_references_that_cannot_be_filled(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fill_in(Config(values))


@pytest.mark.parametrize(
    ('values', 'where'),
    [
        (dict(metrics=[dict(_delete_=True, type='SemanticIoU')]), r'metrics\[0\]'),
        (dict(model=dict(parts=[dict(a=dict(_delete_=True))])), r'model\.parts\[0\]\.a'),
        (dict(model=dict(_delete_=True)), 'model'),
    ],
)
def test_delete_where_nothing_reads_it(values: dict, where: str) -> None:
    with pytest.raises(ValueError, match=f'config: {where} has _delete_, which nothing reads there'):
        refuse_lost_deletes(Config(values))


def test_shipped_configs_have_no_lost_deletes() -> None:
    for name in list_models():
        refuse_lost_deletes(load_config(find_config(name)))


@pytest.mark.parametrize('device', ['m' * 10_000, None, 2**70, ['cpu'], b'cpu', True, 'cpu\0'])
def test_impossible_devices_are_one_short_line(device):
    with pytest.raises(ValueError, match='^device') as caught:
        resolve_device(device)
    assert len(str(caught.value)) < 400
