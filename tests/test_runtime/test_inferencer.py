"""Exported models give the results of the toolkit's inferencer, for the same calls, and refuse the same mistakes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xdet.apis import XDecoderInferencer
from xdet.inference.names.known_words import WordCheck
from xdet.runtime import ExportError, OnnxInferencer
from xdet.runtime.words import ExportedWordCheck
from xdet.structures import KnownWords

NAMES = dict(things='dog . red circle', stuff='sky')
CALLS: dict[str, dict[str, Any]] = dict(
    semantic=NAMES,
    instance=dict(NAMES, min_area=1),
    panoptic=NAMES,
    refseg=dict(phrases='a dog . the left one . something very much longer than the others'),
    caption=dict(max_tokens=5),
    refcaption=dict(boxes=[[3, 4, 30, 20], [0, 0, 1, 1]], max_tokens=4),
    vqa=dict(questions='what is it? . how many dogs are there?'),
    retrieval=dict(texts='a dog . sky', return_embeddings=True),
    classification=dict(classes='dog . cat . sky'),
)


@pytest.fixture(scope='module')
def exported_inferencer(exported: Path) -> OnnxInferencer:
    return OnnxInferencer(exported, threads=1)


@pytest.fixture(scope='module')
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((91, 53), Image.Resampling.BICUBIC))


def same(here: Any, there: Any, where: str = '') -> None:
    """Equal plain data, numbers up to rounding."""
    if isinstance(here, dict):
        assert list(here) == list(there), where
        for key in here:
            same(here[key], there[key], f'{where}/{key}')
    elif isinstance(here, list):
        assert len(here) == len(there), where
        for number, pair in enumerate(zip(here, there, strict=True)):
            same(*pair, f'{where}/{number}')
    elif isinstance(here, float):
        assert there == pytest.approx(here, abs=2e-4), where
    else:
        assert here == there, where


@pytest.mark.parametrize('task', CALLS)
def test_results_of_the_toolkit(
    exported_inferencer: OnnxInferencer, exportable: XDecoderInferencer, picture: np.ndarray, task: str
) -> None:
    same(exportable(picture, task, **CALLS[task]), exported_inferencer(picture, task, **CALLS[task]))


LIMITS: dict[str, tuple[str, dict[str, Any]]] = dict(
    background=('panoptic', dict(NAMES, background='cat . wall', presence=0.3)),
    rivals=('semantic', dict(NAMES, background='cat', presence=0.2, score=0.01)),
    overlap=('panoptic', dict(NAMES, overlap=0.1, mask=0.4, score={'dog': 0.9, 'sky': 0.1})),
    instance=('instance', dict(NAMES, background='cat', mask=0.55, score=0.001)),
    semantic=('semantic', dict(NAMES, score={'sky': 1.0})),
    phrases=('refseg', dict(phrases='a dog . a cat', mask=0.6, score={'a cat': 1.0})),
    presence=('refseg', dict(phrases='a dog . a cat', presence=1.0)),
    described=('refcaption', dict(phrases='a dog . a cat', max_tokens=2)),
)


@pytest.mark.parametrize('case', LIMITS)
def test_limits_of_a_call(
    exported_inferencer: OnnxInferencer, exportable: XDecoderInferencer, picture: np.ndarray, case: str
) -> None:
    task, options = LIMITS[case]
    same(exportable(picture, task, **options), exported_inferencer(picture, task, **options))


def test_presence_that_was_calibrated(
    exported_inferencer: OnnxInferencer, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(exported_inferencer.facts, 'presence', dict(panoptic=1.0))
    assert exported_inferencer(picture, 'panoptic', **NAMES)['predictions'][0]['absent'] == ['dog', 'red circle', 'sky']
    again = exported_inferencer(picture, 'panoptic', **NAMES, presence=0.0)
    assert again['predictions'][0]['absent'] == []


def test_prompts_far_from_the_training(
    exported_inferencer: OnnxInferencer,
    exportable: XDecoderInferencer,
    picture: np.ndarray,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = KnownWords(('dog', 'sky'), frozenset({'red'}), also=('puppy',), others=('bread', 'car'), threshold=0.4)
    monkeypatch.setattr(exportable, 'word_check', WordCheck(known, exportable.model.text_encoder))
    plain = json.loads(json.dumps(known.to_plain()))
    monkeypatch.setattr(exported_inferencer, 'word_check', ExportedWordCheck(plain, exported_inferencer.texts))
    for task, options in (
        ('panoptic', dict(classes='dog . bread . cat . a lorry')),
        ('refseg', dict(phrases='the red bread on a lorry . a dog')),
    ):
        here, there = (one(picture, task, **options) for one in (exportable, exported_inferencer))
        same(here, there)
        assert 'bread' in str(there['predictions'][0]['unknown_prompts'])
    warnings = [record.getMessage() for record in caplog.records if 'asked for' in record.getMessage()]
    assert len(warnings) == 4 and warnings[0] == warnings[1] and warnings[2] == warnings[3]


def test_pixels_of_no_name(exported_inferencer: OnnxInferencer, picture: np.ndarray, tmp_path: Path) -> None:
    """A model that finds background has one more result of the graph ``semantic``."""
    run, facts = exported_inferencer.model.run, exported_inferencer.facts
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(facts['segments'], 'background_score', 0.5)
        surest = np.zeros(picture.shape[:2], dtype=np.float32)
        surest[:10] = 1
        more = [surest]
        patch.setattr(
            exported_inferencer.model, 'run', lambda name, **inputs: run(name, **inputs) + more * (name == 'semantic')
        )
        result = exported_inferencer(picture, 'semantic', **NAMES, out_dir=tmp_path)['predictions'][0]
        everywhere = exported_inferencer(picture, 'semantic', **NAMES, score=0.0)['predictions'][0]
    assert sum(segment['area'] for segment in result['segments']) == 10 * picture.shape[1]
    assert sum(segment['area'] for segment in everywhere['segments']) == picture.shape[0] * picture.shape[1]
    [path] = (tmp_path / 'preds').glob('*.png')
    written = np.asarray(Image.open(path))
    assert (written[10:] == 255).all() and (written[:10] < 3).all()


@pytest.mark.parametrize(
    'settings',
    [dict(num_beams=3, num_texts=2), dict(num_beams=2, length_penalty=0.0), dict(max_tokens=1)],
)
def test_other_ways_to_write_captions(
    exported_inferencer: OnnxInferencer, exportable: XDecoderInferencer, picture: np.ndarray, settings: dict
) -> None:
    here, there = (one(picture, 'caption', **settings) for one in (exportable, exported_inferencer))
    same(here, there)


@pytest.mark.parametrize('size', [(1, 1), (7, 300), (64, 64)])
def test_images_of_any_shape(
    exported_inferencer: OnnxInferencer, exportable: XDecoderInferencer, size: tuple[int, int]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    here, there = (one(image, 'panoptic', classes='dog') for one in (exportable, exported_inferencer))
    same(here['predictions'][0]['classes'], there['predictions'][0]['classes'])
    assert there['predictions'][0]['height'] == size[0]


def test_folder_with_files_that_are_no_images(
    exported_inferencer: OnnxInferencer, picture: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(picture).save(tmp_path / 'a.png')
    (tmp_path / 'b.png').write_bytes(b'no image')
    result = exported_inferencer(tmp_path, 'retrieval', texts='a dog', out_dir=tmp_path / 'out')
    assert [row['image'] for row in result['predictions']] == [str(tmp_path / 'a.png')]
    assert [(row['index'], row['image']) for row in result['failed']] == [(1, str(tmp_path / 'b.png'))]
    assert 'not an image' in result['failed'][0]['error']
    assert result['rankings'][0]['images'][0]['rank'] == 1
    assert json.loads((tmp_path / 'out' / 'preds' / 'a.json').read_text())['texts'][0]['text'] == 'a dog'
    assert (tmp_path / 'out' / 'rankings.json').exists()


def test_one_image_with_many_prompts(exported_inferencer: OnnxInferencer, picture: np.ndarray) -> None:
    image = exported_inferencer.set_image(picture)
    assert exported_inferencer.predict('panoptic', **NAMES)['predictions'][0]['classes'] == ['dog', 'red circle', 'sky']
    assert exported_inferencer.predict('caption', image)['predictions'][0]['captions']


def test_labels_do_not_depend_on_the_parts_they_are_made_in(
    exported_inferencer: OnnxInferencer, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = exported_inferencer(picture, 'semantic', **NAMES)
    monkeypatch.setattr('xdet.runtime.tasks._SCORE_BYTES', 4 * 11 * 37)
    same(whole, exported_inferencer(picture, 'semantic', **NAMES))


@pytest.mark.parametrize(
    ('task', 'options', 'message'),
    [
        ('panoptic', dict(things=''), 'the list of class names is empty'),
        ('panoptic', dict(phrases='a dog'), "task 'panoptic' does not take phrases"),
        ('panoptic', {}, 'no class names were given'),
        ('refseg', {}, "task 'refseg' needs phrases, for example"),
        ('caption', dict(max_tokens=5000), 'max_tokens'),
        ('panoptic', dict(NAMES, return_vis=True), 'return_vis needs the toolkit'),
        ('panoptic', dict(NAMES, min_area=3), "'panoptic' does not take min_area; instance does"),
        ('depth', {}, "unknown task 'depth'"),
        ('refcaption', dict(boxes=[[500, 500, 600, 600]]), 'covers no pixel'),
    ],
)
def test_bad_calls_end_in_one_line(
    exported_inferencer: OnnxInferencer, picture: np.ndarray, task: str, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        exported_inferencer(picture, task, **options)
    assert '\n' not in str(error.value)


def test_unknown_argument(exported_inferencer: OnnxInferencer, picture: np.ndarray) -> None:
    with pytest.raises(TypeError, match='unknown argument thing; did you mean things'):
        exported_inferencer(picture, thing='dog')


def damaged(change: Callable[[Path], Any], folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    change(target)
    return target


def cut(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-1])


def exchange(folder: Path) -> None:
    data = bytearray((folder / 'weights.bin').read_bytes())
    data[100] ^= 1
    (folder / 'weights.bin').write_bytes(data)


def set_format(folder: Path) -> None:
    facts = json.loads((folder / 'model.json').read_text())
    (folder / 'model.json').write_text(json.dumps(dict(facts, format=99)))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (cut('image_encoder.onnx'), r'image_encoder.onnx: has \d+ of \d+ bytes; it is damaged'),
        (cut('weights.bin'), r'weights.bin: has \d+ of \d+ bytes'),
        (exchange, 'weights.bin: is not the file that was exported'),
        (lambda folder: (folder / 'panoptic.onnx').unlink(), 'panoptic.onnx: No such file'),
        (cut('tokens.txt.gz'), 'tokens.txt.gz: no table of tokens'),
        (cut('model.json'), None),
        (lambda folder: (folder / 'model.json').write_text('{'), 'model.json: not valid JSON'),
        (lambda folder: (folder / 'model.json').unlink(), 'holds no exported model'),
        (set_format, 'is of format 99; this version of xdet reads format 2, so export the model again'),
    ],
)
def test_damaged_folders(
    exported: Path, picture: np.ndarray, tmp_path: Path, change: Callable, message: str | None
) -> None:
    folder = damaged(change, exported, tmp_path / 'damaged')
    if message is None:  # a line end more or less
        OnnxInferencer(folder)
        return
    with pytest.raises(ExportError, match=message) as error:
        OnnxInferencer(folder)(picture, 'panoptic', **NAMES)
    assert '\n' not in str(error.value)


def test_embeddings_made_before(
    exported: Path, exportable: XDecoderInferencer, picture: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / 'names.safetensors'
    exportable(picture, 'panoptic', **NAMES)
    exportable.model.vocabulary.save(path)
    ready = OnnxInferencer(exported, text_embeddings=path)
    assert {'dog', 'red circle', 'sky'} <= set(ready.texts._names)
    same(exportable(picture, 'panoptic', **NAMES), ready(picture, 'panoptic', **NAMES))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ExportError, match='are damaged'):
        OnnxInferencer(exported, text_embeddings=path)


def test_embeddings_of_other_weights(exported: Path, tmp_path: Path) -> None:
    other = XDecoderInferencer('scenes', device='cpu')
    other.model.vocabulary(other.default_vocabulary)
    other.model.vocabulary.save(tmp_path / 'names.safetensors')
    with pytest.raises(ExportError, match='were made with other weights of the text encoder'):
        OnnxInferencer(exported, text_embeddings=tmp_path / 'names.safetensors')


def test_unknown_provider(exported: Path) -> None:
    with pytest.raises(ExportError, match='providers AbacusProvider are not available'):
        OnnxInferencer(exported, providers=['AbacusProvider'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(backend='abacus'), "backend is 'abacus'; accepted are onnxruntime, openvino"),
        (dict(backend='openvino', providers=['CPUExecutionProvider']), "backend 'openvino' takes none"),
    ],
)
def test_unknown_backend(exported: Path, options: dict, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        OnnxInferencer(exported, **options)


def test_missing_openvino(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(ExportError, match=r'backend .openvino. needs openvino .*; pip install "xdet\[openvino\]"'):
        OnnxInferencer(exported, backend='openvino')


@pytest.fixture(scope='module')
def openvino_inferencer(exported: Path) -> OnnxInferencer:
    pytest.importorskip('openvino', reason='openvino is not installed (pip install "xdet[openvino]")')
    return OnnxInferencer(exported, threads=1, backend='openvino')


@pytest.mark.parametrize('task', CALLS)
def test_openvino_runs_the_same_graphs(
    openvino_inferencer: OnnxInferencer, exported_inferencer: OnnxInferencer, picture: np.ndarray, task: str
) -> None:
    same(exported_inferencer(picture, task, **CALLS[task]), openvino_inferencer(picture, task, **CALLS[task]))
