from __future__ import annotations

import gzip
import http.server
import json
import os
import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from xdet.io import reading
from xdet.io.reading import (
    UnreadableError,
    as_on_disk,
    expand,
    listed,
    parse_json,
    read_bytes,
    read_json,
    read_names,
    read_text,
    shorten,
)


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == '/ok':
            return self._send(b'hello', 5)
        if self.path == '/endless':
            return self._send(b'x' * 5000, None)
        if self.path == '/huge':
            return self._send(b'x', 10**12)
        if self.path == '/cut':
            return self._send(b'x', 7)
        if self.path == '/file':
            self.send_response(302)
            self.send_header('Location', 'file:///etc/hostname')
            return self.end_headers()
        if self.path == '/drip':
            self.send_response(200)
            self.end_headers()
            for _ in range(20):
                self.wfile.write(b'x')
                self.wfile.flush()
                time.sleep(0.1)
            return None
        if self.path == '/header':
            for _ in range(20):
                self.wfile.write(b'H')
                self.wfile.flush()
                time.sleep(0.1)
            return None
        return self.send_error(404)

    def _send(self, body: bytes, size: int | None) -> None:
        self.send_response(200)
        if size is not None:
            self.send_header('Content-Length', str(size))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope='module')
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_address_is_read(address: str) -> None:
    assert read_bytes(f'{address}/ok') == b'hello'


@pytest.mark.parametrize(
    ('page', 'says'),
    [
        ('endless', 'larger than'),
        ('huge', 'larger than'),
        ('cut', '1 of 7 bytes'),
        ('file', 'cannot be read'),
        ('drip', 'longer than 0.5 s'),
        ('header', 'longer than 0.5 s'),
        ('absent', '404'),
    ],
)
def test_address_that_cannot_be_read(address: str, page: str, says: str) -> None:
    with pytest.raises(UnreadableError, match=says) as caught:
        read_bytes(f'{address}/{page}', max_bytes=1000, timeout=0.5)
    assert f'{address}/{page}' in str(caught.value)


@pytest.mark.parametrize('scheme', ['file', 'ftp', 'nosuch', ''])
def test_other_schemes_are_refused(scheme: str) -> None:
    with pytest.raises(UnreadableError, match='cannot be read'):
        read_bytes(f'{scheme}:///etc/hostname' if scheme else 'http://')


def test_schemes_that_nothing_reads_are_named() -> None:
    with pytest.raises(
        UnreadableError, match=r"^gopher://x/y: cannot be read \(no file backend reads addresses of 'gopher://'\)$"
    ):
        read_bytes('gopher://x/y')


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'link').symlink_to('/dev/zero')
    for path in (tmp_path / 'pipe', tmp_path / 'link', '/dev/zero'):
        with pytest.raises(UnreadableError, match=f'{path}: is a pipe, socket or device'):
            read_bytes(path)


def test_size_is_limited_before_anything_is_read(tmp_path: Path) -> None:
    with (tmp_path / 'sparse').open('wb') as file:
        file.truncate(1 << 40)
    with pytest.raises(UnreadableError, match='sparse: is larger than 16,384 MiB'):
        read_bytes(tmp_path / 'sparse')


@pytest.mark.parametrize(
    ('name', 'error'),
    [
        ('absent', FileNotFoundError),
        ('.', IsADirectoryError),
        ('x' * 300, UnreadableError),
        ('a\0b', ValueError),
        (5, ValueError),
        (None, ValueError),
        (b'x', ValueError),
    ],
)
def test_paths_that_cannot_be_read(name: object, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        read_bytes(name)
    assert len(str(caught.value)) < 600
    assert 'Errno' not in str(caught.value)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / 'a.json'
    path.write_text('{"name": "grün"}', encoding=encoding)
    assert read_json(path) == {'name': 'grün'}
    assert read_text(path)[0] == '{'


@pytest.mark.parametrize(
    'data', [b'', b'{', b'[' * 200_000, b'{"a":' * 200_000, b'\xff\xfe\x00', b'\x80\x81', b'[' + b'9' * 5000 + b']']
)
def test_what_is_not_json_is_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / 'a.json'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'a\.json: not valid JSON') as caught:
        read_json(path)
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    'data, told',
    [
        (gzip.compress(b'{}', mtime=0), 'packed by gzip; unpack it'),
        (b' \n', 'it is empty'),
        (b'{"a": [{"id": 1, "name": "b", "id": 2}]}', "the key 'id' stands twice in one object"),
    ],
)
def test_what_is_wrong_with_json(data: bytes, told: str) -> None:
    """Python's reader would keep the last value of a key, and lose the others without a word."""
    with pytest.raises(ValueError, match=told):
        parse_json(data, 'a.json')


def test_utf_16_without_a_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / 'a.txt').write_bytes('sky\n'.encode('utf-16-le'))
    with pytest.raises(ValueError, match='a.txt: not UTF-8 text .* NUL characters'):
        read_names(tmp_path / 'a.txt')


def test_names_are_the_lines_that_are_not_empty(tmp_path: Path) -> None:
    path = tmp_path / 'names.txt'
    path.write_text('\n sky \n\nroad\n\n', encoding='utf-8-sig')
    assert read_names(path) == ['sky', 'road']


def test_text_can_be_parsed_too() -> None:
    assert parse_json(json.dumps([1]), 'x') == [1]
    with pytest.raises(ValueError, match='x: not valid JSON'):
        parse_json('nul', 'x')


def test_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', '/home/somebody')
    assert expand('~/a') == Path('/home/somebody/a')
    assert expand('a~/b') == Path('a~/b')
    with pytest.raises(ValueError, match='~nosuchuser/x: there is no user'):
        expand('~nosuchuser/x')
    (tmp_path / '~notes.png').touch()
    assert expand('~notes.png') == Path('~notes.png')


def test_messages_stay_short() -> None:
    assert shorten('abc') == 'abc'
    assert len(shorten('x' * 10**6)) < 300
    assert listed(range(3)) == '0, 1, 2'
    assert listed(range(100), 2) == '0, 1 and 98 more'
    assert len(listed(['x' * 10**5] * 100)) < 3000


def test_download_into_a_file(address: str, tmp_path: Path) -> None:
    reading.download(f'{address}/ok', tmp_path / 'a' / 'file')
    assert (tmp_path / 'a' / 'file').read_bytes() == b'hello'


@pytest.mark.parametrize('page', ['endless', 'huge', 'cut', 'file', 'drip', 'missing'])
def test_download_that_cannot_end_well(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr(reading, 'STALLED', 0.3)
    with pytest.raises(OSError, match='.'):
        reading.download(f'{address}/{page}', tmp_path / 'file', max_bytes=3000)
    assert not list(tmp_path.iterdir())


def test_messages_have_one_line() -> None:
    assert shorten('array([[0.],\n       [1.]])') == 'array([[0.], [1.]])'
    assert shorten('a\r\nb' * 100, 20).endswith('(300 characters)')
    assert shorten(' ' * 1_000_000).endswith('(1000000 characters)')  # at once


@pytest.mark.parametrize('made, asked', [('NFC', 'NFD'), ('NFD', 'NFC')])
def test_names_in_the_other_form_of_unicode_are_found(tmp_path: Path, made: str, asked: str) -> None:
    there = tmp_path / unicodedata.normalize(made, 'Straße à Zoë') / unicodedata.normalize(made, 'café.txt')
    there.parent.mkdir()
    there.write_bytes(b'one')
    wanted = str(tmp_path / unicodedata.normalize(asked, 'Straße à Zoë') / unicodedata.normalize(asked, 'café.txt'))
    if os.path.exists(wanted):
        pytest.skip('this file system takes both forms for one name')
    assert as_on_disk(wanted) == str(there) and read_bytes(wanted) == b'one'
    assert as_on_disk(f'{wanted}x') == f'{wanted}x'
    exact = there.with_name(os.path.basename(wanted))
    exact.write_bytes(b'two')
    assert as_on_disk(str(exact)) == str(exact) and read_bytes(exact) == b'two'


def test_names_that_no_file_has(tmp_path: Path) -> None:
    for name in ('é\0', 'é' * 5000, '\ud800', '/é/', 'é'):
        assert as_on_disk(name) == name
    with pytest.raises(FileNotFoundError, match='é.png: file does not exist'):
        read_bytes(tmp_path / 'é.png')


@pytest.mark.parametrize('text', [r'["\ud800"]', r'{"a": "x\uDFFF y"}', r'{"\ud83d": 1}', r'["\ude00\ud83d"]'])
def test_halves_of_surrogate_pairs_are_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r'^a\.json: not valid JSON .*surrogates not allowed'):
        parse_json(text, 'a.json')
    assert parse_json(r'["\ud83d\ude00", "\\ud800"]', 'a.json') == ['\U0001f600', '\\ud800']
