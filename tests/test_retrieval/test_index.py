"""Building an index: what is embedded, what survives, and what is refused."""

import copy
import itertools
import json
import multiprocessing
import os
import signal

import cv2
import numpy as np
import pytest
import torch
from tiny.retrieval import SQUARE, TEXTS, add, build, needs_faiss, picture

from xdet.apis import ImageIndex, RetrievalIndexError, TextIndex, XDecoderInferencer
from xdet.retrieval import store as retrieval_store
from xdet.retrieval.embedding import Embedder
from xdet.retrieval.store import EmbeddingStore, Signature


def assert_same_hits(found, expected):
    """Same scores per image; the last bits depend on the batch and the machine, so near-equal images may swap."""
    for left, right in zip(found, expected, strict=True):
        scores = {hit.path: hit.score for hit in right}
        assert {hit.path: hit.score for hit in left} == pytest.approx(scores, abs=2e-6)
        assert all(first.score >= second.score for first, second in itertools.pairwise(left))


@needs_faiss
def test_only_unreadable_pictures(inferencer, tmp_path, caplog):
    (tmp_path / 'x.jpg').write_bytes(b'')
    index = ImageIndex.build(inferencer, tmp_path, tmp_path / 'index', show_progress=False)
    assert len(index) == 0 and list(index.failed) == [str(tmp_path / 'x.jpg')]
    assert index.search(['night', 'day']) == [[], []]
    assert ImageIndex.load(inferencer, tmp_path / 'index').search('night') == [[]]


def test_unreadable_pictures_are_listed(inferencer, photos, caplog):
    index = build(inferencer, photos)
    assert len(index) == 5 and list(index.failed) == [str(photos / 'broken.jpg')]
    assert '1 of 6 images were skipped' in caplog.text and 'broken.jpg: not an image' in caplog.text


@needs_faiss
def test_second_run_embeds_only_what_is_new_or_changed(inferencer, photos, embedded):
    build(inferencer, photos)
    assert len(embedded) == 6
    embedded.clear()
    (photos / 'broken.jpg').unlink()
    before = (photos.parent / 'index' / 'manifest.json').stat().st_mtime_ns
    assert len(build(inferencer, photos)) == 5 and embedded == []
    assert (photos.parent / 'index' / 'manifest.json').stat().st_mtime_ns == before  # nothing to do, nothing written

    add(photos, '0.png')
    (photos / 'b.png').unlink()
    cv2.imwrite(str(photos / 'e.png'), picture(1000))
    os.utime(photos / 'e.png', ns=(1, 1))
    index = build(inferencer, photos)
    assert sorted(embedded) == ['0.png', 'e.png']
    fresh = ImageIndex.build(inferencer, photos, photos.parent / 'fresh', show_progress=False)
    for saved in (index, ImageIndex.load(inferencer, photos.parent / 'index')):
        assert_same_hits(saved.search(TEXTS), fresh.search(TEXTS))
    assert len(list((photos.parent / 'index').glob('*'))) == 3  # manifest, lock, one shard


@needs_faiss
def test_goes_on_after_an_error_in_the_middle(inferencer, photos, embedded, monkeypatch, caplog):
    forward = inferencer.model.test_step
    monkeypatch.setattr(
        inferencer.model, 'test_step', lambda data: forward(data) if len(embedded) < 3 else 1 / 0, raising=False
    )
    with pytest.raises(ZeroDivisionError):
        build(inferencer, photos, batch_size=1)
    monkeypatch.undo()
    partly = ImageIndex.load(inferencer, photos.parent / 'index')
    assert len(partly) == 2 and 'incomplete' in caplog.text
    assert len(partly.search('night')[0]) == len(partly)

    again = []
    images = Embedder.images
    monkeypatch.setattr(Embedder, 'images', lambda self, items: again.extend(items) or images(self, items))
    index = build(inferencer, photos)
    assert len(again) == 6 - len(partly)
    fresh = ImageIndex.build(inferencer, photos, photos.parent / 'fresh', show_progress=False)
    assert_same_hits(index.search(TEXTS), fresh.search(TEXTS))


def run_into_a_kill(directory):
    store = EmbeddingStore(directory, Signature('texts', (4,), 'x' * 64, []))

    def embed(keys):
        if keys == ['key 7']:
            os.kill(os.getpid(), signal.SIGKILL)
        return {key: np.full(4, 1 + int(key[4:]), np.float32) for key in keys}

    wanted = {f'key {number}': dict(path='.', line=number) for number in range(10)}
    store.update(wanted, lambda old, new: True, embed, lambda keys: iter([[key] for key in keys]))


def test_what_was_saved_survives_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval_store, '_SECONDS_BETWEEN_SAVES', 0.0)
    process = multiprocessing.get_context('fork').Process(target=run_into_a_kill, args=(tmp_path / 'index',))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    for name in ('.embeddings-000099.npy.x.part', 'embeddings-000099-aa.npy'):
        (tmp_path / 'index' / name).write_bytes(b'half')
        os.utime(tmp_path / 'index' / name, (5, 5))
    (tmp_path / 'index' / 'embeddings-000098-aa.npy').write_bytes(b'perhaps of another process')
    store = EmbeddingStore(tmp_path / 'index', Signature('texts', (4,), 'x' * 64, []))
    assert not store.complete and list(store.items) == [f'key {n}' for n in range(7)]
    todo = []

    def embed(keys):
        todo.extend(keys)
        return {key: np.full(4, 1 + int(key[4:]), np.float32) for key in keys}

    wanted = {f'key {n}': dict(path='.', line=n) for n in reversed(range(10))}
    store.update(wanted, lambda old, new: True, embed, lambda keys: iter([keys]))
    assert sorted(todo) == ['key 7', 'key 8', 'key 9']
    assert store.rows()[:, 0].tolist() == list(range(10, 0, -1))
    names = sorted(path.name.split('-')[0] for path in (tmp_path / 'index').iterdir())
    assert names == ['.lock', 'embeddings', 'embeddings', 'manifest.json']


def test_other_weights_are_refused(inferencer, tiny_config, photos):
    build(inferencer, photos)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        other = XDecoderInferencer(tiny_config, random_weights=True, device='cpu')
    for use in (lambda: build(other, photos), lambda: ImageIndex.load(other, photos.parent / 'index')):
        with pytest.raises(RetrievalIndexError, match='built with other weights') as caught:
            use()
        assert '\n' not in str(caught.value) and 'index' in str(caught.value)
    other.model.load_state_dict(inferencer.model.state_dict())
    assert len(ImageIndex.load(other, photos.parent / 'index')) == 5
    with torch.no_grad():
        other.model.text_encoder.logit_scale += 1  # cosines do not depend on it
        assert len(ImageIndex.load(other, photos.parent / 'index')) == 5
        other.model.tasks['retrieval'].backbone_proj[0, 0] += 1e-3
    with pytest.raises(RetrievalIndexError, match='other weights'):
        ImageIndex.load(other, photos.parent / 'index')


def test_another_pipeline_is_refused(inferencer, photos):
    build(inferencer, photos, pipeline=SQUARE)
    assert len(ImageIndex.load(inferencer, photos.parent / 'index', SQUARE)) == 5
    with pytest.raises(RetrievalIndexError, match=r'built with the pipeline .*64.* not with'):
        ImageIndex.load(inferencer, photos.parent / 'index')


@pytest.mark.parametrize('pipeline', [5, [5], [{}], [dict(type='Nope')], [dict(type=5)]])
def test_pipeline_that_cannot_be_built_is_named(inferencer, pipeline):
    with pytest.raises(ValueError, match='^pipeline .* cannot be built: '):
        Embedder(inferencer, pipeline)


def test_empty_paths_are_not_the_working_directory(inferencer, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    for index, arguments in ((ImageIndex, ('', tmp_path / 'index')), (TextIndex, ('', tmp_path / 'index'))):
        with pytest.raises(ValueError, match="is ''; accepted are"):
            index.build(inferencer, *arguments)
    with pytest.raises(RetrievalIndexError, match="is ''; accepted are"):
        ImageIndex.build(inferencer, photos, '')
    assert not (photos / 'manifest.json').exists()


def test_paths_that_are_too_long_are_short_errors(inferencer, photos, tmp_path):
    for folder, index in (('x' * 5000, tmp_path / 'index'), (photos, 'x' * 5000)):
        with pytest.raises(ValueError, match='5000 characters') as caught:
            ImageIndex.build(inferencer, folder, index)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize('field', ['size', 'mtime_ns'])
def test_items_that_lost_a_field_are_embedded_again(inferencer, photos, field):
    build(inferencer, photos)
    manifest = photos.parent / 'index' / 'manifest.json'
    content = json.loads(manifest.read_text())
    del content['items'][0][field]
    manifest.write_text(json.dumps(content))
    build(inferencer, photos)
    assert all(field in item for item in json.loads(manifest.read_text())['items'])


def test_pipeline_of_the_task_is_used(tiny_config, inferencer, photos):
    cfg = copy.deepcopy(tiny_config)
    cfg.task_pipelines = dict(retrieval=SQUARE)
    other = XDecoderInferencer(cfg, random_weights=True, device='cpu')
    assert Embedder(other).signature('images').pipeline[1]['scale'] == [64, 64]


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data)


def damage(index_dir, **changes):
    path = index_dir / 'manifest.json'
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    'break_it, message',
    [
        (lambda path: damage(path, version=99), 'format version 99; this version of xdet reads up to 1'),
        (lambda path: damage(path, format='other'), 'no manifest of an index'),
        (lambda path: damage(path, kind='texts'), 'holds texts, not images'),
        (lambda path: damage(path, items=[dict(key='a.png', row=77)]), 'damaged'),
        (lambda path: damage(path, shards=3), 'damaged'),
        (lambda path: flip_bit(next(path.glob('*.npy'))), 'their sum differs from that in the manifest'),
        (lambda path: (path / 'manifest.json').write_text('{"format": '), 'damaged'),
        (lambda path: next(path.glob('*.npy')).unlink(), 'missing or damaged'),
        (lambda path: next(path.glob('*.npy')).write_bytes(b'\x93NUMPY'), 'missing or damaged'),
        (lambda path: np.save(next(path.glob('*.npy')), np.zeros((5, 2, 3), np.float32)), 'missing or damaged'),
        (lambda path: (path / 'manifest.json').unlink(), 'does not exist'),
    ],
)
def test_unusable_index(inferencer, photos, break_it, message):
    build(inferencer, photos)
    break_it(photos.parent / 'index')
    with pytest.raises(RetrievalIndexError, match=message) as caught:
        ImageIndex.load(inferencer, photos.parent / 'index')
    assert '\n' not in str(caught.value)


def test_index_of_another_collection(inferencer, photos, embedded):
    build(inferencer, photos)
    add(photos.parent / 'others', 'a.png')
    with pytest.raises(RetrievalIndexError, match='belongs to .*photos'):
        ImageIndex.build(inferencer, photos.parent / 'others', photos.parent / 'index')
    embedded.clear()
    photos.rename(photos.parent / 'moved')  # a collection that moved keeps its index
    index = ImageIndex.build(inferencer, photos.parent / 'moved', photos.parent / 'index', show_progress=False)
    assert len(index) == 5 and embedded == ['broken.jpg']
    assert ImageIndex.load(inferencer, photos.parent / 'index').root == photos.parent / 'moved'


def test_bad_input(inferencer, photos, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r"folder '.*empty' has no images"):
        ImageIndex.build(inferencer, tmp_path / 'empty', tmp_path / 'index')
    with pytest.raises(ValueError, match='does not exist'):
        ImageIndex.build(inferencer, tmp_path / 'missing', tmp_path / 'index')
    assert not (tmp_path / 'index').exists()
    with pytest.raises(ValueError, match='batch_size is 0'):
        build(inferencer, photos, batch_size=0)
    with pytest.raises(ValueError, match='has no texts'):
        TextIndex.build(inferencer, tmp_path / 'empty', tmp_path / 'index')
    (tmp_path / 'texts.json').write_text('["a dog"]')
    with pytest.raises(ValueError, match='has other things in its lines than texts'):
        TextIndex.build(inferencer, tmp_path / 'texts.json', tmp_path / 'index')
    (tmp_path / 'empty' / 'latin.txt').write_bytes('Schloß'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'latin\.txt.* cannot be read as UTF-8'):
        TextIndex.build(inferencer, tmp_path / 'empty', tmp_path / 'index')


def test_folder_that_cannot_be_written_costs_no_work(inferencer, photos, embedded):
    (photos.parent / 'index').write_text('a file')
    with pytest.raises(RetrievalIndexError, match='cannot be written'):
        build(inferencer, photos)
    assert embedded == []


def test_only_new_texts_are_embedded(inferencer, tmp_path, embedded):
    folder = tmp_path / 'texts'
    folder.mkdir()
    (folder / 'a.txt').write_text('one\ntwo\n')
    (folder / 'b.txt').write_text('three\none')
    index = TextIndex.build(inferencer, folder, tmp_path / 'index', show_progress=False)
    assert len(index) == 3 and embedded == ['one', 'two', 'three']
    embedded.clear()
    (folder / 'a.txt').write_text('zero\n\n  two \n')
    assert len(TextIndex.build(inferencer, folder, tmp_path / 'index', show_progress=False)) == 4
    assert embedded == ['zero']


def test_model_without_the_task(tiny_config, photos):
    cfg = copy.deepcopy(tiny_config)
    cfg.model.tasks = dict(segmentation=cfg.model.tasks.segmentation)
    other = XDecoderInferencer(cfg, random_weights=True, device='cpu')
    with pytest.raises(ValueError, match='no retrieval task'):
        build(other, photos)
