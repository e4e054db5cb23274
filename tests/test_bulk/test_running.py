"""Bulk runs in one process: equal to the inferencer, whole after any interruption, and clear about bad input."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_bulk.conftest import ASKED, write_shard
from tiny.tools import ROOT

from xdet.apis import BulkResult, OutputError, ResumeError, XDecoderInferencer, decode_mask, run_bulk
from xdet.bulk.running import Work, Worker
from xdet.bulk.sources import find_chunks
from xdet.cli.commands.bulk import main
from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.inputs.images import expand_images
from xdet.io.locking import locked
from xdet.retrieval.embedding import Embedder


@pytest.fixture(autouse=True)
def _one_model(monkeypatch: pytest.MonkeyPatch, known: XDecoderInferencer) -> None:
    monkeypatch.setattr(Worker, 'inferencer', known)


def rows_of(folder: Path) -> list[dict]:
    return pq.read_table(folder).to_pylist()


def without_names(rows: list[dict]) -> list[dict]:
    kept = []
    for row in rows:
        result = json.loads(row['result']) if row['result'] else None
        kept.append(dict(row, image=None, error=row['error'] is None, result=result and dict(result, image=None)))
    return kept


def test_equal_to_the_inferencer(folder: Path, tmp_path: Path, saved: dict, known: XDecoderInferencer) -> None:
    result = run_bulk(folder, tmp_path / 'out', 'panoptic', chunk_size=2, batch_size=2, **saved, **ASKED)
    wanted = known(folder, 'panoptic', show_progress=False, **ASKED)
    assert isinstance(result, BulkResult) and (result.total, result.resumed) == (5, 0)
    assert [(row['index'], row['error']) for row in result.failed] == [
        (row['index'], row['error']) for row in wanted['failed']
    ]
    assert [path.name for path in sorted((tmp_path / 'out').glob('*.parquet'))] == [
        f'part-0000000{number}.parquet' for number in range(3)
    ]
    rows = rows_of(tmp_path / 'out')
    assert [row['index'] for row in rows] == list(range(5))
    good = [row for row in rows if row['error'] is None]
    assert [json.loads(row['result']) for row in good] == wanted['predictions']
    assert rows[1]['error'] == wanted['failed'][0]['error'] and rows[1]['result'] is None
    for row, prediction in zip(good, wanted['predictions'], strict=True):
        assert (row['height'], row['width']) == (prediction['height'], prediction['width'])
        assert len(row['segments']) == len(prediction['segments']) > 0
        for found, segment in zip(row['segments'], prediction['segments'], strict=True):
            assert (found['name'], found['score'], found['area']) == (
                segment['name'], segment['score'], segment['area']
            )  # fmt: skip
            assert decode_mask(dict(size=found['size'], counts=found['counts'])).sum() == found['area']


def test_texts_have_columns(folder: Path, tmp_path: Path, saved: dict, known: XDecoderInferencer) -> None:
    asked = dict(questions=['what is it? . is it red?'])
    run_bulk(folder / '0.png', tmp_path / 'a', 'vqa', **saved, **asked)
    [prediction] = known(folder / '0.png', 'vqa', **asked)['predictions']
    [row] = rows_of(tmp_path / 'a')
    assert row['texts'] == [
        dict(about=entry['question'], text=answer['answer'], score=answer['score'])
        for entry in prediction['answers']
        for answer in entry['answers']
    ]
    run_bulk(folder / '0.png', tmp_path / 'b', 'caption', **saved)
    [prediction] = known(folder / '0.png', 'caption')['predictions']
    assert rows_of(tmp_path / 'b')[0]['texts'][0]['text'] == prediction['captions'][0]['text']


def test_shards_and_parquet_files_give_the_same(
    folder: Path, tmp_path: Path, contents: list[bytes], saved: dict
) -> None:
    first = write_shard(tmp_path / '00000.tar', contents[:2])
    second = write_shard(tmp_path / '00001.tar', contents[2:], 2)
    plain = tmp_path / 'plain.parquet'
    pq.write_table(pa.table(dict(jpg=contents, n=list(range(5)))), plain, row_group_size=3)
    nested = tmp_path / 'nested.parquet'
    pq.write_table(pa.table(dict(image=[dict(bytes=content, path=None) for content in contents])), nested)
    kinds = dict(
        folder=folder,
        shards=str(tmp_path / '{00000..00001}.tar'),
        both=[first, second],
        plain=plain,
        nested=str(tmp_path / 'nest*.parquet'),
    )
    found = {}
    for kind, images in kinds.items():
        column = 'jpg' if kind == 'plain' else 'image'
        result = run_bulk(images, tmp_path / kind, chunk_size=2, image_column=column, **saved, **ASKED)
        assert [row['index'] for row in result.failed] == [1]
        found[kind] = rows_of(tmp_path / kind)
    wanted = without_names(found['folder'])
    assert all(without_names(rows) == wanted for rows in found.values())
    assert found['shards'][2]['image'] == f'{second}/00002.png' and found['plain'][3]['image'] == f'{plain}#3'


def test_embeddings(folder: Path, tmp_path: Path, saved: dict, known: XDecoderInferencer) -> None:
    result = run_bulk(folder, tmp_path / 'out', 'embedding', chunk_size=3, batch_size=2, **saved)
    vectors, failed = Embedder(known).images(expand_images(folder)[0])
    rows = rows_of(tmp_path / 'out')
    good = [row for row in rows if row['error'] is None]
    assert list(failed) == [row['index'] for row in result.failed] == [1]
    for place, part in enumerate(('decoder', 'backbone')):
        np.testing.assert_allclose([row[part] for row in good], vectors[:, place], atol=1e-6)


def test_a_run_goes_on_and_is_the_same(
    folder: Path, tmp_path: Path, saved: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_bulk(folder, tmp_path / 'whole', chunk_size=2, **saved, **ASKED)
    run, calls = Worker.run, []

    def dies(self: Worker, chunk):  # type: ignore[no-untyped-def]
        calls.append(chunk.number)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(self, chunk)

    monkeypatch.setattr(Worker, 'run', dies)
    with pytest.raises(KeyboardInterrupt):
        run_bulk(folder, tmp_path / 'out', chunk_size=2, **saved, **ASKED)
    result = run_bulk(folder, tmp_path / 'out', chunk_size=2, resume=True, **saved, **ASKED)
    assert calls == [0, 1, 1, 2] and result.resumed == 2 and result.failed == whole.failed
    assert rows_of(tmp_path / 'out') == rows_of(tmp_path / 'whole')
    for changed in (dict(task='semantic'), dict(chunk_size=3), dict(classes='cat'), dict(precision='bfloat16')):
        with pytest.raises(ResumeError, match='cannot be continued: its'):
            run_bulk(folder, tmp_path / 'out', resume=True, **(dict(chunk_size=2) | saved | ASKED | changed))
    (tmp_path / 'out' / 'part-00000001.parquet').write_bytes(b'half')
    again = run_bulk(folder, tmp_path / 'out', chunk_size=2, resume=True, **saved, **ASKED)
    assert again.resumed == 3 and rows_of(tmp_path / 'out') == rows_of(tmp_path / 'whole')


def test_a_folder_belongs_to_one_run(folder: Path, tmp_path: Path, saved: dict) -> None:
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'notes.txt').write_text('mine')
    with pytest.raises(OutputError, match='is not empty; give a new folder, or resume'):
        run_bulk(folder, out, **saved, **ASKED)
    with pytest.raises(ResumeError, match='holds no bulk run'):
        run_bulk(folder, out, resume=True, **saved, **ASKED)
    with locked(tmp_path / 'new' / '.lock', wait=False), pytest.raises(OutputError, match='another process is writing'):
        run_bulk(folder, tmp_path / 'new', **saved, **ASKED)


def test_bad_input_is_named(
    folder: Path, tmp_path: Path, contents: list[bytes], saved: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'bad.parquet').write_bytes(b'no')
    pq.write_table(pa.table(dict(url=['a'], image=[1])), tmp_path / 'a.parquet')
    pq.write_table(pa.table(dict(image=pa.array([], pa.binary()))), tmp_path / 'none.parquet')
    cases = [
        (dict(images=tmp_path / 'empty'), ImageReadError, 'folder has no image files'),
        (dict(images=[]), ImageReadError, 'the list of images: has no images'),
        (dict(images=tmp_path / 'none.parquet'), ImageReadError, 'has no images'),
        (dict(images=tmp_path / 'nowhere.png'), ImageReadError, 'nowhere.png'),
        (dict(images=tmp_path / 'no*.tar'), FileNotFoundError, 'no such shards'),
        (dict(images=tmp_path / 'x*.parquet'), FileNotFoundError, 'no such Parquet file'),
        (dict(images=tmp_path / 'bad.parquet'), ValueError, 'bad.parquet: not a Parquet file'),
        (
            dict(image_column='jpg', images=tmp_path / 'a.parquet'),
            ValueError,
            "no column 'jpg'; its columns are url, im",
        ),
        (dict(images=tmp_path / 'a.parquet'), ValueError, "column 'image' is int64; accepted are binary"),
        (dict(task='retrieval', texts='a'), ValueError, "embed them \\(task 'embedding'\\) instead"),
        (dict(task='embedding'), ValueError, "'embedding' takes no options, but classes was given"),
        (dict(task='dance'), ValueError, "unknown task 'dance'"),
        (dict(formats='coco'), ValueError, 'a bulk run takes no formats'),
        (dict(workers=-1), ValueError, 'workers'),
        (dict(weights=str(tmp_path / 'gone.pth')), OSError, 'gone.pth'),
    ]
    for number, (changed, kind, message) in enumerate(cases):
        out = tmp_path / f'out{number}'
        with pytest.raises(kind, match=message):
            run_bulk(**(dict(images=folder, out_dir=out) | saved | ASKED | changed))
        assert not out.exists() or not list(out.glob('*.parquet'))
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(ImportError, match=r'a run with workers above 0 needs ray .*; pip install "xdet\[ray\]"'):
        run_bulk(folder, tmp_path / 'out', workers=2, **saved, **ASKED)


def test_a_chunk_that_no_worker_survives_ends_the_run(folder: Path, tmp_path: Path, saved: dict) -> None:
    """What Ray calls is this; a worker that died has left a note."""
    chunks, _ = find_chunks(folder, 2, 'image')
    worker = Worker(Work(saved['model'], saved['weights'], 'cpu', None, 'panoptic', 1, str(tmp_path), ASKED))
    batch = dict(chunk=[pickle.dumps(chunks[1])])
    (tmp_path / '.begun-00000001').write_bytes(b'...')
    assert json.loads(worker(batch)['receipt'][0]) == dict(failed=[])
    assert not (tmp_path / '.begun-00000001').exists()
    (tmp_path / '.begun-00000001').write_bytes(b'....')
    kind, message = json.loads(worker(batch)['receipt'][0])['error']
    assert kind == 'RuntimeError' and message.startswith(
        '4 workers ended without a word at images 2 to 3, the first is'
    )


def test_damage_within_files_is_told(tmp_path: Path, contents: list[bytes], saved: dict) -> None:
    shard = write_shard(tmp_path / 'a.tar', contents)
    shard.write_bytes(shard.read_bytes()[:-9000])  # its last image is cut
    table = tmp_path / 'a.parquet'
    pq.write_table(pa.table(dict(image=[contents[0], None])), table)
    result = run_bulk([shard, table], tmp_path / 'out', **saved, **ASKED)
    assert len(result.problems) == 1 and 'truncated in 00004' in result.problems[0]
    assert result.failed[-1]['error'] == f'{table}#1: has no image, the entry is empty'


def test_the_command(folder: Path, tmp_path: Path, saved: dict, capsys: pytest.CaptureFixture[str]) -> None:
    command = [str(folder), '--out-dir', str(tmp_path / 'out'), '--classes', 'dog . grass', '--chunk-size', '3']
    command += [f'--{key}={value}' for key, value in saved.items()]
    assert main(command, 'xdet bulk') == 1
    told = capsys.readouterr()
    assert f'results of 4 images in {tmp_path / "out"}' in told.out and '1 of 5 images failed' in told.err
    assert main(command, 'xdet bulk') == 2 and 'is not empty' in capsys.readouterr().err
    assert main([*command, '--resume'], 'xdet bulk') == 1
    assert '5 of 5 images were finished before' in capsys.readouterr().out
    assert 'from xdet.cli.commands.bulk import main' in (ROOT / 'tools' / 'ray_predict.py').read_text()


def test_parquet_files_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / 'folder.parquet').mkdir()
    os.mkfifo(tmp_path / 'pipe.parquet')
    for name, told in (('folder', 'is a folder, not a Parquet file'), ('pipe', 'is a pipe, socket or device')):
        with pytest.raises(ValueError, match=told):
            find_chunks(tmp_path / f'{name}.parquet', 4, 'image')
