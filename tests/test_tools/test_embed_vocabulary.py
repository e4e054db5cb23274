import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

from xdet.apis import XDecoderInferencer
from xdet.compat.checkpoint import save_weights
from xdet.structures import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'tests' / 'tiny' / 'tiny_run.py'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'tiny.safetensors'
    save_weights(XDecoderInferencer(str(CONFIG), device='cpu', random_weights=True).model, path, dtype=None)
    return path


@pytest.fixture
def embed(weights, tmp_path, monkeypatch):
    """Run the tool on names, in this process; ``limit`` interrupts it after that many parts."""

    def run(names, target='names.safetensors', weights=weights, limit=None, options=()):
        if not isinstance(names, str):
            (tmp_path / 'names.txt').write_text('\n'.join(names), encoding='utf-8')
            names = tmp_path / 'names.txt'
        script = ROOT / 'tools' / 'misc' / 'embed_vocabulary.py'
        arguments = [script, CONFIG, weights, names, tmp_path / target, '--device', 'cpu', *options]
        monkeypatch.setattr(sys, 'argv', [str(argument) for argument in arguments])
        main = runpy.run_path(str(script))['main']
        main.__globals__['_NAMES_PER_STEP'] = 2
        if limit is not None:

            def progress(parts, what):
                yield from parts[:limit]
                raise KeyboardInterrupt

            main.__globals__['progress'] = progress
        main()

    return run


def _embedded(weights, path, *names):
    """Names that are still embedded when the model knows the file."""
    embedder = XDecoderInferencer(str(CONFIG), weights, device='cpu').model.vocabulary
    embedder.load(path)
    with mock.patch.object(embedder, '_embed', wraps=embedder._embed) as embed:
        embedder(Vocabulary(names, (True,) * len(names)))
    return [name for call in embed.call_args_list for name, _ in call.args[0]]


def test_interrupted_and_continued(embed, weights, tmp_path, capsys):
    names = ['dog', 'cat', 'naïve café 🐕', 'owl', 'dog', '']
    with pytest.raises(SystemExit, match='130'):
        embed(names, limit=1)
    path = tmp_path / 'names.safetensors'
    assert _embedded(weights, path, 'dog', 'cat', 'owl') == ['owl']
    embed(names)
    output = capsys.readouterr().out
    assert 'names.safetensors holds 3 names, which are kept' in output
    assert _embedded(weights, path, 'dog', 'cat', 'owl', 'naïve café 🐕', 'cow') == ['cow']


def test_a_known_list(embed, weights, tmp_path):
    embed('camvid')
    assert _embedded(weights, tmp_path / 'names.safetensors', 'sky', 'bicyclist', 'cow') == ['cow']


def test_other_weights_are_refused_unless_overwritten(embed, weights, tmp_path):
    embed(['dog'])
    torch.manual_seed(1)
    other = tmp_path / 'other.safetensors'
    save_weights(XDecoderInferencer(str(CONFIG), device='cpu', random_weights=True).model, other, dtype=None)
    with pytest.raises(SystemExit, match='error: .*made with other weights of the text encoder'):
        embed(['cat'], weights=other)
    embed(['cat'], weights=other, options=['--overwrite'])
    assert _embedded(other, tmp_path / 'names.safetensors', 'cat', 'dog') == ['dog']


@pytest.mark.parametrize(
    ('names', 'target', 'message'),
    [
        ('nothing.txt', 'a.safetensors', 'error: nothing.txt: no such class list'),
        ([''], 'a.safetensors', 'error: .*names.txt: the list of class names is empty'),
        (['dog'], 'a.pth', 'error: target .* must be a .safetensors file'),
    ],
)
def test_bad_input_is_one_line(embed, names, target, message):
    with pytest.raises(SystemExit, match=message):
        embed(names, target)
