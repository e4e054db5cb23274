"""Reading of files that users name: regular files and web addresses, with limits of size and time.

Whatever is wrong ends in one line that names the file. A named pipe, a device or a server that never ends cannot keep
a program waiting, and a file that is larger than its kind can be is refused before it fills the memory.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import re
import stat
import threading
import time
import unicodedata
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, TypeVar

from .writing import replacing

MAX_IMAGE_BYTES = 1 << 30
"""Largest image file; those of satellites and scanners have some hundred megabytes."""
MAX_BYTES = 16 << 30
"""Largest file of annotations; Objects365 has 6 GiB."""
TIMEOUT = 30.0
"""Seconds that a download may take in all."""

STALLED = 60.0
"""Seconds without data after which a download of any size is given up."""

_CHUNK = 1 << 20
_LONGEST_NAME = 500
_LEAST = 1 << 16
_T = TypeVar('_T')
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableError(OSError, ValueError):
    """A file or address that cannot be used as a file; the message is one line and names it."""


def read_bytes(
    path: str | os.PathLike, max_bytes: int = MAX_BYTES, timeout: float = TIMEOUT, backend_args: dict | None = None
) -> bytes:
    """Content of a regular file or of an address.

    Args:
        path (str | PathLike): File, ``http://`` or ``https://`` address, or an address (``s3://...``) of one of
            MMEngine's file backends.
        max_bytes (int): Largest size that is read.
        timeout (float): Seconds that a download may take from the first to the last byte.
        backend_args (dict, optional): Of MMEngine's file backend, which then reads, without these limits.

    Raises:
        FileNotFoundError: There is no such file; the message names it.
        IsADirectoryError: It is a folder.
        UnreadableError: It is a pipe, socket or device, is too large, or cannot be read or downloaded in time.
    """
    name = os.fspath(expand(path)) if not is_address(path) else str(path)
    scheme = name.split('://', 1)[0].lower() if is_address(name) else ''
    try:
        if backend_args is None and scheme in ('http', 'https'):
            return _download(name, max_bytes, timeout)
        if backend_args is None and not scheme:
            return _read_regular(as_on_disk(name), max_bytes)
        from mmengine import fileio  # exported models run without it

        return fileio.get(name, backend_args=backend_args)
    except UnreadableError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(f'{shorten(name)}: file does not exist') from None
    except IsADirectoryError:
        raise IsADirectoryError(f'{shorten(name)}: is a folder, not a file') from None
    except MemoryError:
        raise UnreadableError(f'{shorten(name)}: does not fit into memory') from None
    except (OSError, HTTPException, ImportError, KeyError, ValueError) as error:  # what the file backends raise
        reason = getattr(error, 'strerror', None) or str(error) or type(error).__name__
        if isinstance(error, KeyError):  # of MMEngine's table of backends
            reason = f"no file backend reads addresses of '{shorten(scheme)}://'"
        raise UnreadableError(f'{shorten(name)}: cannot be read ({shorten(reason)})') from error


def download(url: str, path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> None:
    """Write what an ``http://`` or ``https://`` address holds into a file, however long it takes as long as it comes.

    Args:
        url (str): The address.
        path (str | PathLike): The file; it is there completely or not at all.
        max_bytes (int): Largest size that is accepted.

    Raises:
        OSError: The file cannot be written.
        UnreadableError: The address cannot be opened, its answer is too large or incomplete, or nearly nothing came
            for :data:`STALLED` seconds.
    """
    with replacing(path) as file:
        future = _in_thread(lambda: _stream(url, file, max_bytes, None))
        received = 0
        while not wait([future], STALLED).done:
            now = os.fstat(file.fileno()).st_size
            if now - received < _LEAST:
                raise UnreadableError(f'{shorten(url)}: nearly nothing was received for {STALLED:.4g} s')
            received = now
        try:
            future.result()
        except UnreadableError:
            raise
        except (HTTPException, ValueError) as error:
            raise UnreadableError(f'{shorten(url)}: cannot be downloaded ({shorten(str(error))})') from error


def read_text(path: str | os.PathLike, **limits: Any) -> str:
    """Text of a file in UTF-8, or in UTF-16 with a byte order mark; the mark is no part of the text.

    Raises:
        FileNotFoundError, IsADirectoryError, UnreadableError: See :func:`read_bytes`.
        ValueError: It is no such text.
    """
    return decode_text(read_bytes(path, **limits), str(path))


def decode_text(data: bytes, name: str) -> str:
    """Text of the bytes of a file called ``name``, see :func:`read_text`.

    Raises:
        ValueError: They are no such text.
    """
    try:
        text = data.decode('utf-16' if data.startswith(_UTF16) else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{shorten(name)}: not UTF-8 text ({error.reason} at byte {error.start})') from None
    if '\0' in text:
        raise ValueError(f'{shorten(name)}: not UTF-8 text (it has NUL characters, as UTF-16 without a mark has)')
    return text


def read_names(path: str | os.PathLike, **limits: Any) -> list[str]:
    """Lines of a text that are not empty, without the white space around them.

    Raises:
        FileNotFoundError, IsADirectoryError, UnreadableError, ValueError: See :func:`read_text`.
    """
    return [line.strip() for line in read_text(path, **limits).splitlines() if line.strip()]


def read_list(path: str | os.PathLike) -> list[str]:
    """Names, one a line, whose numbers are their places, so that none may be left out or be something else.

    Raises:
        FileNotFoundError, IsADirectoryError, UnreadableError: See :func:`read_text`.
        ValueError: A line is no name.
    """
    # Only these end lines: str.splitlines would also cut names at form feeds and separators of paragraphs.
    names = [line.strip() for line in re.split('\r\n|\r|\n', read_text(path).rstrip())]
    names = [] if names == [''] else names
    for number, name in enumerate(names, start=1):
        found = {
            'is empty': not name,
            f'has {len(name)} characters': len(name) > _LONGEST_NAME,
            'has tabs or other characters that cannot be printed': not name.isprintable(),
            'begins as a comment, JSON or YAML or a web page does': name.startswith(('#', '[', '{', '- ', '<!', '<?')),
        }
        wrong = next((words for words, there in found.items() if there), '')
        if wrong:
            raise ValueError(
                f'{path}: line {number} {wrong}; every line is a class, in label order: remove the line, or give the '
                'class a name'
            )
    return names


def read_json(path: str | os.PathLike, **limits: Any) -> Any:
    """Content of a JSON file; see :func:`read_text` for its encoding.

    Raises:
        FileNotFoundError, IsADirectoryError, UnreadableError: See :func:`read_bytes`.
        ValueError: It is not JSON.
    """
    return parse_json(read_bytes(path, **limits), str(path))


def parse_json(data: bytes | str, name: str) -> Any:
    """Content of the JSON text of something called ``name``.

    Raises:
        ValueError: It is not JSON, nested too deeply, or has a key twice in one object, or half of a surrogate pair.
    """
    text = data if isinstance(data, str) else _json_text(data, name)
    if not text.strip():
        raise ValueError(f'{shorten(name)}: not valid JSON (it is empty)')
    try:
        content = json.loads(text, object_pairs_hook=keys_once)
        # Half of a surrogate pair is no character: nothing can write or tokenize it.
        if '\\ud' in text or '\\uD' in text:
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except RecursionError:
        raise ValueError(f'{shorten(name)}: not valid JSON (nested too deeply)') from None
    except MemoryError:
        raise ValueError(f'{shorten(name)}: does not fit into memory') from None
    except ValueError as error:  # also numbers of more digits than Python reads
        raise ValueError(f'{shorten(name)}: not valid JSON ({shorten(str(error))})') from None


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for ``object_pairs_hook``; Python's own reader keeps the last value of a key and loses others.

    Raises:
        ValueError: A key stands twice.
    """
    entry = dict(pairs)
    if len(entry) < len(pairs):
        known: set[str] = set()
        twice = next(key for key, _ in pairs if key in known or known.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f'the key {shorten(repr(twice), 80)} stands twice in one object')
    return entry


def _json_text(data: bytes, name: str) -> str:
    try:
        return decode_text(data, name)
    except ValueError:
        kind = next((kind for start, kind in _PACKED.items() if data.startswith(start)), '')
        what = f'a file packed by {kind}; unpack it' if kind else 'not even text'
        raise ValueError(f'{shorten(name)}: not valid JSON ({what})') from None


_PACKED = {b'\x1f\x8b': 'gzip', b'PK\x03\x04': 'zip', b'BZh': 'bzip2', b'\xfd7zXZ': 'xz', b'(\xb5/\xfd': 'zstd'}


def file_sha256(path: str | os.PathLike) -> str:
    """Hash of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def expand(path: str | os.PathLike) -> Path:
    """``path`` with ``~`` and ``~user`` replaced, unless a file has that very name.

    Raises:
        ValueError: It is no path, has a NUL character, or names a user that there is not.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise ValueError(f'{shorten(repr(path))} is a {type(path).__name__}; accepted are paths as text')
    text = os.fspath(path)
    if '\0' in text:
        raise ValueError(f'{shorten(repr(text))}: a path cannot have a NUL character')
    if not text.startswith('~') or os.path.lexists(text):
        return Path(path)
    expanded = os.path.expanduser(text)
    if expanded == text:
        raise ValueError(f'{shorten(text)}: there is no user {shorten(text.split("/", 1)[0][1:])!r}')
    return Path(expanded)


def as_on_disk(path: str) -> str:
    """``path``, or if there is no such file or folder, the one whose name differs in Unicode's normal form only.

    An accented letter is one character or two: macOS writes names in the second form, most programs the first. What
    has the very name wins; without any, ``path`` stays.
    """
    if path.isascii() or '\0' in path or _exists(path):
        return path
    parent, name = os.path.split(path)
    if not name:
        return path
    folder = as_on_disk(parent)
    names = (name, unicodedata.normalize('NFC', name), unicodedata.normalize('NFD', name))
    return next((found for found in (os.path.join(folder, form) for form in names) if _exists(found)), path)


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except (UnicodeError, ValueError):  # no file system has such a name
        return False


def is_address(path: Any) -> bool:
    """Whether ``path`` is an address of a file backend (``https://...``, ``s3://...``), not a local path."""
    return isinstance(path, str) and '://' in path


def shorten(text: str, length: int = 200) -> str:
    """``text`` on one line and, beyond about ``length``, without its middle: messages do not repeat whole inputs."""
    text = str(text)
    if '\n' in text or '\r' in text:
        text = ' '.join(line.strip() for line in text.splitlines())
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f'{text[:half]}...{text[-half:]} ({len(text)} characters)'


def listed(names: Iterable[Any], most: int = 20) -> str:
    """Names for a message, of which only the first ``most`` are told: ``'a, b, c and 96 more'``."""
    names = list(names)
    told = ', '.join(shorten(str(name), 80) for name in names[:most])
    return told if len(names) <= most else f'{told} and {len(names) - most} more'


def _read_regular(name: str, max_bytes: int) -> bytes:
    # Without O_NONBLOCK, opening a named pipe waits for somebody who writes.
    descriptor = os.open(name, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
    with open(descriptor, 'rb') as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(name)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(f'{shorten(name)}: is a pipe, socket or device, not a file')
        if status.st_size > max_bytes:
            raise _too_large(name, max_bytes)
        data = file.read(status.st_size)
        while more := file.read(_CHUNK):  # some files of /proc say 0 and never end
            data += more
            if len(data) > max_bytes:
                raise _too_large(name, max_bytes)
    return data


def _too_large(name: str, max_bytes: int) -> UnreadableError:
    return UnreadableError(f'{shorten(name)}: is larger than {max_bytes / 2**20:,.0f} MiB, the most that is read')


def _download(url: str, max_bytes: int, timeout: float) -> bytes:
    """Body of an answer."""
    body = io.BytesIO()
    future = _in_thread(lambda: _stream(url, body, max_bytes, timeout))
    if not wait([future], timeout).done:
        raise _too_slow(url, timeout)
    future.result()
    return body.getvalue()


def _in_thread(work: Callable[[], _T]) -> Future[_T]:
    """Work in a thread that nobody has to wait for: names, handshakes and headers have no time limit of their own."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # handed over to the caller
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _stream(url: str, body: IO[bytes], max_bytes: int, seconds: float | None) -> None:
    """Copy the body of an answer within a time, or with None as long as it comes."""
    started = time.monotonic()
    timeout = STALLED if seconds is None else seconds
    request = urllib.request.Request(url, headers={'User-Agent': 'xdet'})
    with _opener().open(request, timeout=timeout) as response:
        announced = response.headers.get('Content-Length', '')
        size = int(announced) if announced.isascii() and announced.isdigit() else None
        if size is not None and size > max_bytes:
            raise _too_large(url, max_bytes)
        while chunk := response.read1(_CHUNK):
            body.write(chunk)
            if body.tell() > max_bytes:
                raise _too_large(url, max_bytes)
            if seconds is not None and time.monotonic() > started + seconds:
                raise _too_slow(url, seconds)
    if size is not None and body.tell() < size:
        raise UnreadableError(f'{shorten(url)}: the download ended after {body.tell()} of {size} bytes')


def _too_slow(url: str, timeout: float) -> UnreadableError:
    return UnreadableError(f'{shorten(url)}: the download takes longer than {timeout:.4g} s')


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https and follows redirects to nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
