"""A folder of embeddings: several processes, tampered files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xdet.io.locking import locked
from xdet.retrieval.index import ImageIndex, _check_texts
from xdet.retrieval.store import EmbeddingStore, RetrievalIndexError, Signature

SIGNATURE = Signature('images', (2, 4), 'f', [])


def embed(keys: list[str]) -> dict[str, np.ndarray]:
    return {key: np.full((2, 4), len(key), np.float32) for key in keys}


def one_by_one(keys: list[str]) -> Iterator[list[str]]:
    yield from ([key] for key in keys)


def update(store: EmbeddingStore, *keys: str, embed: Callable = embed) -> None:
    store.update({key: {} for key in keys}, lambda old, new: True, embed, one_by_one)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    update(EmbeddingStore(tmp_path / 'index', SIGNATURE), 'a.png', 'b.png')
    return tmp_path / 'index'


def test_reader_goes_on_after_an_update(folder: Path) -> None:
    reader = EmbeddingStore(folder, SIGNATURE)
    update(EmbeddingStore(folder, SIGNATURE), 'a.png', 'longer.png')
    assert reader.rows()[:, 0, 0].tolist() == [5, 10] and list(reader.items) == ['a.png', 'longer.png']


def test_one_builder_at_a_time(folder: Path) -> None:
    store = EmbeddingStore(folder, SIGNATURE)
    before = (folder / 'manifest.json').read_bytes()
    with locked(folder / '.lock', wait=False), pytest.raises(RetrievalIndexError, match='updated by another process'):
        update(store, 'c.png')
    assert (folder / 'manifest.json').read_bytes() == before
    update(store, 'c.png')
    assert list(EmbeddingStore(folder, SIGNATURE).items) == ['c.png']


def test_builder_sees_what_another_did_since(folder: Path) -> None:
    late = EmbeddingStore(folder, SIGNATURE)
    update(EmbeddingStore(folder, SIGNATURE), 'a.png', 'b.png', 'c.png')
    update(late, 'a.png', 'b.png', 'c.png', embed=lambda keys: pytest.fail('embedded again'))
    assert len(late.rows()) == 3


def test_shards_of_a_builder_without_lock_stay(tmp_path: Path) -> None:
    folder = tmp_path
    first, second = EmbeddingStore(folder, SIGNATURE), EmbeddingStore(folder, SIGNATURE)
    second._new, second.items = [np.ones((2, 4), np.float32)], {'x': dict(row=0)}
    second.save()
    update(first, 'a.png', 'b.png', 'd.png')
    second._compact(['x'])
    assert EmbeddingStore(folder, SIGNATURE).rows().shape == (1, 2, 4)


@pytest.mark.parametrize('value', [np.nan, np.inf, 0])
def test_vectors_that_cannot_be_compared(folder: Path, value: float) -> None:
    def broken(keys: list[str]) -> dict[str, np.ndarray]:
        return {key: np.full((2, 4), value, np.float32) for key in keys}

    with pytest.raises(RetrievalIndexError, match="embedding of 'c.png' is zero or not finite"):
        update(EmbeddingStore(folder, SIGNATURE), 'c.png', embed=broken)
    update(EmbeddingStore(folder, SIGNATURE), 'a.png')
    np.save(next(folder.glob('*.npy')), np.full((1, 2, 4), value, np.float32))
    manifest = folder / 'manifest.json'
    content = json.loads(manifest.read_text())
    for shard in content['shards']:
        shard.pop('crc32')  # as in indexes of earlier versions
    manifest.write_text(json.dumps(content))
    with pytest.raises(RetrievalIndexError, match='some are zero or not finite'):
        EmbeddingStore(folder, SIGNATURE).rows()


def replace(path: Path, **changes: Any) -> None:
    manifest = path / 'manifest.json'
    content = {**json.loads(manifest.read_bytes()), **changes}
    manifest.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def shards(**changes: Any) -> list[dict]:
    return [{**dict(file='embeddings-000001.npy', rows=2), **changes}]


def items(*entries: Any) -> list[Any]:
    return [{**dict(key='a.png', row=0), **entry} if isinstance(entry, dict) else entry for entry in entries]


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(shards=shards(file='../x.npy')), 'no shard of this folder'),
        (dict(shards=shards(file='/etc/x.npy')), 'no shard of this folder'),
        (dict(shards=shards(file=5)), "'file' is 5"),
        (dict(shards=shards(rows='2')), "'rows' is '2'"),
        (dict(shards=shards(rows=-1)), 'no shard of this folder'),
        (dict(shards=[5]), 'must be an object'),
        (dict(items=items(dict(key='../../etc/passwd'))), 'outside of the collection'),
        (dict(items=items(dict(key='/etc/passwd'))), 'outside of the collection'),
        (dict(items=items(dict(key=5))), "'key' is 5"),
        (dict(items=items(dict(row=0.5))), "'row' is 0.5"),
        (dict(items=items(dict(row=True))), "'row' is True"),
        (dict(items=items(dict(row=-1))), 'rows that no shard has'),
        (dict(items=items({}, dict(row=1))), 'there twice'),
        (dict(items=items(5)), 'must be an object'),
        (dict(items={}), "'items' is"),
        (dict(root=5), "'root' is 5"),
        (dict(root=''), "'root' is ''"),
        (dict(root='a\0'), "'root' is "),
        (dict(kind=5), "'kind' is 5"),
        (dict(shape=7), "'shape' is 7"),
        (dict(fingerprint=None), "'fingerprint' is null"),
        (dict(pipeline=...), "'pipeline' is missing"),
        (dict(complete='no'), "'complete' is 'no'"),
        (dict(version='1'), "'version' is '1'"),
    ],
)
def test_manifests_of_another_kind_are_told(folder: Path, changes: dict, message: str) -> None:
    replace(folder, **changes)
    with pytest.raises(RetrievalIndexError, match=re.escape(message)) as caught:
        EmbeddingStore(folder, SIGNATURE)
    assert 'delete' not in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('field', ['path', 'line'])
def test_texts_without_their_place_are_told(tmp_path: Path, field: str) -> None:
    texts = replace_fields(SIGNATURE, kind='texts', shape=(4,), pipeline=[])
    place = dict(path='.', line=1)
    store = EmbeddingStore(tmp_path, texts)
    store._new, store.items = [np.ones(4, np.float32)], {'a dog': dict(place, row=0)}
    store.save()
    assert EmbeddingStore(tmp_path, texts).items['a dog'] == dict(place, row=0)
    replace(tmp_path, items=[dict({key: value for key, value in place.items() if key != field}, key='a dog', row=0)])
    with pytest.raises(RetrievalIndexError, match=f"item 'a dog': '{field}' is missing"):
        EmbeddingStore(tmp_path, texts)


def test_an_index_of_other_weights_is_not_to_be_deleted(folder: Path) -> None:
    with pytest.raises(RetrievalIndexError, match='other weights .*build a new one in another folder$'):
        EmbeddingStore(folder, replace_fields(SIGNATURE, fingerprint='other'))


@pytest.mark.parametrize('content', ['[' * 100_000, '[]', '\0', ''])
def test_manifests_that_are_no_objects(folder: Path, content: str) -> None:
    (folder / 'manifest.json').write_text(content)
    with pytest.raises(RetrievalIndexError, match='damaged|no manifest'):
        EmbeddingStore(folder, SIGNATURE)


def test_pipes_do_not_keep_waiting(folder: Path) -> None:
    shard = next(folder.glob('*.npy'))
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(RetrievalIndexError, match='no such file'):
        EmbeddingStore(folder, SIGNATURE).rows()
    (folder / 'manifest.json').unlink()
    os.mkfifo(folder / 'manifest.json')
    with pytest.raises(RetrievalIndexError, match='is a pipe'):
        EmbeddingStore(folder, SIGNATURE)


def test_header_that_claims_more_than_there_is(folder: Path) -> None:
    shard = next(folder.glob('*.npy'))
    data = shard.read_bytes()
    shard.write_bytes(data.replace(b'(2, 2, 4)', b'(9' + b'0' * 13 + b', 2, 4)')[: len(data)])
    with pytest.raises(RetrievalIndexError, match='missing or damaged'):
        EmbeddingStore(folder, SIGNATURE).rows()


def test_what_cannot_be_compared_is_not_found() -> None:
    pytest.importorskip('faiss')
    index = ImageIndex.__new__(ImageIndex)
    index._items = [('a.jpg', {}), ('b.jpg', {}), ('c.jpg', {})]
    index._table = np.full((3, 2, 4), 0.5, np.float32)
    index._table[0] = np.nan
    found = index._search(np.ones((1, 8), np.float32), 3, -np.inf)
    assert sorted(key for key, _, _ in found[0]) == ['b.jpg', 'c.jpg']
    for wrong in (np.nan, 'x', True):
        with pytest.raises(ValueError, match='min_score is'):
            index._search(np.ones((1, 8), np.float32), 3, wrong)


@pytest.mark.parametrize('texts', [None, 5, dict(a=1)])
def test_texts_of_another_kind(texts: Any) -> None:
    with pytest.raises(ValueError, match='texts is .*; accepted are a text and list'):
        _check_texts(texts)
