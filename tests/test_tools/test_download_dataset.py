"""Data sets are downloaded only when they are named, go on after an interruption, and are checked."""

from __future__ import annotations

import hashlib
import http.server
import io
import runpy
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny.tools import ROOT, run_tool

from xdet.io.locking import locked

TOOL = ROOT / 'tools' / 'misc' / 'download_dataset.py'


@pytest.fixture
def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as file:
        file.writestr('folder/a.txt', 'text ' * 1000)
    return content.getvalue()


@pytest.fixture
def server(archive: bytes) -> Iterator[SimpleNamespace]:
    """Serves ``archive`` in parts, as file servers do, and remembers which parts were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get('Range'))
            start = int(asked[-1][len('bytes=') : -1]) if asked[-1] else 0
            if self.path != '/data.zip' or start >= len(archive):
                self.send_response(416 if self.path == '/data.zip' else 404)
                self.send_header('Content-Range', f'bytes */{len(archive)}')
                self.end_headers()
                return
            if start and self.headers.get('If-Range', '"now"') != '"now"':
                start = 0
            self.send_response(206 if start else 200)
            self.send_header('ETag', '"now"')
            self.send_header('Content-Length', str(len(archive) - start))
            self.end_headers()
            self.wfile.write(archive[start:])

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield SimpleNamespace(url=f'http://127.0.0.1:{found.server_port}/data.zip', asked=asked)
        found.shutdown()
        thread.join()


@pytest.fixture
def tool(server: SimpleNamespace, archive: bytes) -> dict:
    """The functions of the tool, with a data set of the local server."""
    tool = runpy.run_path(str(TOOL))
    md5 = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    tool['SOURCES']['local'] = tool['Source']('terms.org', 'local', (server.url,), (md5,), 'look at it')
    return tool


def test_a_data_set_is_downloaded_and_extracted(tool: dict, server: SimpleNamespace, tmp_path: Path, capsys) -> None:
    tool['fetch']('local', tmp_path, dry_run=True, unzip=True, delete=True)
    assert not list(tmp_path.iterdir()) and not server.asked
    tool['fetch']('local', tmp_path, dry_run=False, unzip=True, delete=True)
    assert [path.name for path in sorted((tmp_path / 'local').rglob('*'))] == ['folder', 'a.txt']
    output = capsys.readouterr().out
    assert 'you accept the terms at terms.org' in output and 'next: look at it' in output


def test_a_download_goes_on(tool: dict, server: SimpleNamespace, archive: bytes, tmp_path: Path) -> None:
    for left, asked in ((archive[:100], 'bytes=100-'), (archive, f'bytes={len(archive)}-')):
        (tmp_path / 'data.zip.part').write_bytes(left)
        tool['download'](server.url, tmp_path / 'data.zip')
        assert (tmp_path / 'data.zip').read_bytes() == archive and server.asked[-1] == asked


@pytest.mark.parametrize('left', [b'x' * 100, b'x' * 10_000_000])
def test_a_file_that_has_changed_is_loaded_anew(
    tool: dict, server: SimpleNamespace, archive: bytes, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / 'data.zip.part').write_bytes(left)
    (tmp_path / 'data.zip.part.version').write_text('"before"')
    tool['download'](server.url, tmp_path / 'data.zip')
    assert (tmp_path / 'data.zip').read_bytes() == archive
    assert [path.name for path in tmp_path.iterdir()] == ['data.zip']


def test_damage_is_named(tool: dict, archive: bytes, tmp_path: Path) -> None:
    (tmp_path / 'local').mkdir()
    (tmp_path / 'local/data.zip').write_bytes(archive[:-1])
    with pytest.raises(ValueError, match='data.zip: MD5 is .*, expected .*delete the file'):
        tool['fetch']('local', tmp_path, dry_run=False, unzip=False, delete=False)


@pytest.mark.parametrize('name, size', [('a.zip', 40), ('a.tar.gz', 60)])
def test_half_an_archive_is_named(tool: dict, archive: bytes, tmp_path: Path, name: str, size: int) -> None:
    if name == 'a.tar.gz':
        with tarfile.open(tmp_path / name, 'w:gz') as file:
            file.add(TOOL, 'tool.py')
        archive = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(archive[:size])
    with pytest.raises(ValueError, match=f'{name} is damaged .*; delete the file and start again'):
        tool['unpack'](tmp_path / name)


def test_a_second_process_is_refused(tool: dict, tmp_path: Path) -> None:
    with locked(tmp_path / 'local' / '.download.lock', wait=False), pytest.raises(OSError, match='another process'):
        tool['fetch']('local', tmp_path, dry_run=False, unzip=False, delete=False)


def test_what_must_be_asked_for_is_not_downloaded(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit, match='scannet must be asked for at https://github.com/ScanNet'):
        run_tool('misc/download_dataset', 'scannet', '--save-dir', tmp_path)
    with pytest.raises(SystemExit, match='2'):
        run_tool('misc/download_dataset', 'imagenet')
    with pytest.raises(SystemExit, match='2'):
        run_tool('misc/download_dataset')
    assert "data set 'imagenet' is unknown; known are coco2017" in capsys.readouterr().err


def test_dry_run_says_from_where(tmp_path: Path, capsys) -> None:
    run_tool('misc/download_dataset', 'voc2012', '--dataset-name', 'coco2017', '--dry-run', '--save-dir', tmp_path)
    output = capsys.readouterr().out
    assert 'VOCtrainval_11-May-2012.tar' in output and 'annotations/panoptic_annotations_trainval2017.zip' in output
    assert 'zips/val2017.zip' in output and not list(tmp_path.iterdir())
    run_tool('misc/download_dataset', '--list')
    assert 'cityscapes      on request' in capsys.readouterr().out
