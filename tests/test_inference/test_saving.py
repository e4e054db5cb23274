"""A saved model gives the same results, from a folder and from a hub, and a folder of a stranger runs no code."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny.hub import running_hub

from xdet import pretrained
from xdet.apis import XDecoderInferencer
from xdet.inference.names.calibration import Calibration, Threshold
from xdet.structures import KnownWords, Vocabulary

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


@pytest.fixture(scope='module')
def saved(inferencer: XDecoderInferencer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in a folder, with all that may go with it."""
    from xdet.inference.names.known_words import WordCheck

    model = copy.copy(inferencer)
    model.default_vocabulary = Vocabulary(('cat', 'sky'), (True, False))
    model.word_check = WordCheck(KnownWords(('cat', 'sky')), model.model.text_encoder)
    model.calibration = Calibration(None, dict(names=Threshold(0.25, 0.1, 20, 40, [])))
    return model.save_pretrained(tmp_path_factory.mktemp('saved') / 'model', dtype=None)


def asked(model: XDecoderInferencer) -> list[dict]:
    """Results of every task, without where they come from."""
    model.model.vocabulary.clear()  # the last bits of a name depend on what is encoded with it
    prompts: dict[str, dict] = dict(
        panoptic=dict(classes=['cat', 'dog']), refseg=dict(phrases=['a cat']), caption={}, vqa=dict(questions=['why?'])
    )
    results = [model(IMAGE, task=task, **options)['predictions'][0] for task, options in prompts.items()]
    leave_out = 'provenance', 'unknown_prompts'  # only the saved model has a training vocabulary
    return [{key: value for key, value in result.items() if key not in leave_out} for result in results]


def test_a_folder_gives_the_same_results(inferencer: XDecoderInferencer, saved: Path) -> None:
    assert {file.name for file in saved.iterdir()} == {
        'config.json',
        'model.safetensors',
        'README.md',
        'model.calibration.json',
    }
    again = XDecoderInferencer.from_pretrained(saved, device='cpu')
    again_by_name = XDecoderInferencer(str(saved), device='cpu')
    presence = again.calibration.presence('panoptic')
    again.calibration = again_by_name.calibration = None  # the first model has none
    assert asked(again) == asked(again_by_name) == asked(inferencer)
    assert presence == 0.25 and again.default_vocabulary.names == ('cat', 'sky')
    assert again.word_check is not None and again.word_check.known.names == ('cat', 'sky')
    assert again.model.tasks['vqa'].answers == inferencer.model.tasks['vqa'].answers


def test_the_card_is_about_the_model(saved: Path) -> None:
    text = (saved / 'README.md').read_text()
    assert text.startswith('---\nlibrary_name: xdet\n') and 'XDecoderInferencer.from_pretrained' in text
    assert 'panoptic' in text and 'M |' in text


def test_embedded_models_can_be_shared(tmp_path: Path) -> None:
    model = XDecoderInferencer(device='cpu')
    again = XDecoderInferencer.from_pretrained(model.save_pretrained(tmp_path / 'photos'), device='cpu')
    assert again.default_vocabulary == model.default_vocabulary and again.origin.knows == model.origin.knows
    assert again.word_check is not None and again.word_check.known == model.word_check.known
    for (name, own), other in zip(model.model.state_dict().items(), again.model.state_dict().values(), strict=True):
        assert torch.equal(own, other), name
    assert 'PASCAL VOC' in (tmp_path / 'photos' / 'README.md').read_text()


def test_to_a_hub_and_back(
    inferencer: XDecoderInferencer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_DISABLE_XET', True)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    with running_hub() as hub:
        where = dict(endpoint=hub.address, token='hf_secret')
        address = inferencer.push_to_hub('me/tiny', dtype=None, **where)
        assert address.startswith(hub.address) and 'me/tiny' in hub.private
        assert set(hub.repositories['me/tiny']) >= {'config.json', 'model.safetensors', 'README.md'}
        again = XDecoderInferencer.from_pretrained('me/tiny', device='cpu', **where)
        assert asked(again) == asked(inferencer)
        assert 'Bearer hf_secret' in hub.tokens
        with pytest.raises(OSError, match="repository 'me/nothing' cannot be downloaded: "):
            XDecoderInferencer.from_pretrained('me/nothing', **where)
        with pytest.raises(OSError, match="'strange/tiny' cannot be uploaded: "):
            inferencer.push_to_hub('strange/tiny', **where)
        hub.repositories['me/other'] = {'README.md': b'# something else'}
        with pytest.raises(ValueError, match='holds no model of xdet'):
            XDecoderInferencer.from_pretrained('me/other', **where)


@pytest.mark.parametrize(
    ('keys', 'value', 'message'),
    [
        (('model', 'type'), 'os.system', "model.type is 'os.system', which nothing registered"),
        (('model', 'backbone', 'type'), 'antigravity', "'antigravity', which nothing registered"),
        (('model', 'backbone', 'type'), 'subprocess.Popen', 'which nothing registered'),
        (('model', 'backbone', 'type'), 7, 'model.backbone.type is 7; it must be the name of a component'),
        (('inference_pipeline',), [dict(type='builtins.exec')], 'inference_pipeline.0.type'),
        (('xdet_format',), 99, "'xdet_format' is 99; this version of xdet reads 1"),
        (('model',), 'a text', "'model' is 'a text'"),
        (('vocabulary',), dict(names=['a', 'b'], is_thing=[1]), '2 class names but 1 thing flags'),
        (('model', 'backbone', 'embed_dims'), 16, 'does not fit the model'),
    ],
)
def test_folders_of_strangers(saved: Path, tmp_path: Path, keys: tuple, value: object, message: str) -> None:
    content = json.loads((saved / 'config.json').read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (tmp_path / 'config.json').write_text(json.dumps(content))
    (tmp_path / 'model.safetensors').write_bytes((saved / 'model.safetensors').read_bytes())
    with pytest.raises(ValueError, match=message):
        XDecoderInferencer.from_pretrained(tmp_path, device='cpu')


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='has no config.json; accepted are folders of save_pretrained'):
        XDecoderInferencer.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match='neither a folder nor the name of a repository'):
        XDecoderInferencer.from_pretrained('no such folder')
    (tmp_path / 'config.json').write_text('{"xdet_format": 1, "name": "x", "model": {}}')
    with pytest.raises(FileNotFoundError, match='model.safetensors does not exist'):
        XDecoderInferencer.from_pretrained(tmp_path)


def test_files_outside_the_folder(inferencer: XDecoderInferencer, tmp_path: Path) -> None:
    model = copy.copy(inferencer)
    model.cfg = copy.deepcopy(model.cfg)
    model.cfg.model.tasks.segmentation.clip_ensemble = dict(type='ClipEnsemble', weights='clip.pt')
    with pytest.raises(ValueError, match='clip_ensemble has a file of its own'):
        model.save_pretrained(tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    (tmp_path / 'file').touch()
    with pytest.raises(FileExistsError, match="^'.*/file' is a file; give a folder$"):
        inferencer.save_pretrained(tmp_path / 'file')
    with pytest.raises(ValueError, match='is no name of a repository'):
        inferencer.push_to_hub('no name')
    assert pretrained.FORMAT == 1
