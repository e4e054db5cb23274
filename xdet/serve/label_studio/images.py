"""Images of tasks: files below one folder, or uploads of one Label Studio. Nothing else is opened or asked."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from xdet.datasets.exchange.formats.label_studio import file_of
from xdet.datasets.exchange.source import inner_path
from xdet.io.errors import cause
from xdet.io.reading import expand, read_bytes
from xdet.io.schema import shown

from ..bodies import from_base64
from ..refusal import Refused

_SECONDS = 30.0
_TOKEN_SECONDS = 60.0
_CHUNK = 1 << 20
_UPLOADS = '/data/upload/'


class LabelStudio:
    """A Label Studio that is asked by GET. Redirects are not followed and proxies are not used.

    Args:
        url (str): Where it is, with its path if it has one.
        token (str): Of a user: a personal access token, or a legacy token.

    Raises:
        ValueError: The address is none of http or https, or the token is not printable ASCII.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ('http', 'https') or not parts.hostname or parts.query or parts.username:
            raise ValueError(
                f'--label-studio-url is {shown(url)}; accepted are addresses such as http://127.0.0.1:8080'
            )
        if not token or not token.isascii() or not token.isprintable() or ' ' in token:
            raise ValueError('the token of Label Studio is empty or no token (its page: Account & Settings)')
        self.url = url.rstrip('/')
        self._token = token
        self._access, self._until = '', 0.0
        self._lock = threading.Lock()
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def get(self, path: str, most_bytes: int) -> bytes:
        """Content of a path.

        Raises:
            Refused: It does not come, or has too many bytes.
        """
        return self._open(urllib.request.Request(self.url + path, headers=self._authorization()), path, most_bytes)

    def _authorization(self) -> dict[str, str]:
        if self._token.count('.') != 2:
            return dict(Authorization=f'Token {self._token}')
        # A personal access token is exchanged for one that is valid for minutes.
        with self._lock:
            if time.monotonic() > self._until:
                body = json.dumps(dict(refresh=self._token)).encode()
                request = urllib.request.Request(
                    f'{self.url}/api/token/refresh', body, {'Content-Type': 'application/json'}
                )
                try:
                    self._access = str(json.loads(self._open(request, 'its token', 1 << 16))['access'])
                except (ValueError, KeyError, TypeError):
                    raise Refused(502, 'Label Studio did not accept the token') from None
                self._until = time.monotonic() + _TOKEN_SECONDS
            return dict(Authorization=f'Bearer {self._access}')

    def _open(self, request: urllib.request.Request, what: str, most_bytes: int) -> bytes:
        ends = time.monotonic() + _SECONDS
        data = bytearray()
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                while chunk := response.read1(_CHUNK):
                    data += chunk
                    if len(data) > most_bytes:
                        raise Refused(413, f'Label Studio: {what} has more than {most_bytes} bytes')
                    if time.monotonic() > ends:
                        raise Refused(504, f'Label Studio: {what} did not come within {_SECONDS:g} s')
        except urllib.error.HTTPError as error:
            raise Refused(502, f'Label Studio: {what} was refused with status {error.code}') from None
        except (OSError, HTTPException, ValueError) as error:
            raise Refused(502, f'Label Studio: {what} did not come ({cause(error)})') from None
        return bytes(data)


class TaskImages:
    """Reads what tasks say of their image.

    Args:
        folder (str | Path, optional): What ``/data/local-files/?d=`` starts from.
        label_studio (LabelStudio, optional): Where ``/data/upload/`` is.
        most_bytes (int): Largest file.

    Raises:
        FileNotFoundError: The folder does not exist.
    """

    def __init__(self, folder: str | Path | None, label_studio: LabelStudio | None, most_bytes: int) -> None:
        self.folder = None if folder is None else expand(folder).resolve()
        if self.folder is not None and not self.folder.is_dir():
            raise FileNotFoundError(f"--local-files '{folder}' is no folder")
        self.label_studio = label_studio
        self.most_bytes = most_bytes

    def read(self, link: Any) -> tuple[str, bytes]:
        """Name and content of the file that a task names.

        Args:
            link (Any): ``/data/local-files/?d=a/b.jpg``, with any address before it, ``/data/upload/1/b.jpg``, with
                that of the Label Studio, or the image itself as ``data:...;base64,...``.

        Raises:
            Refused: It is none of these, leaves the folder, or cannot be read.
        """
        if not isinstance(link, str) or not link.isprintable():
            raise Refused(422, f'the image of the task is {shown(link)}; accepted is a text')
        if link.startswith('data:'):
            return 'image', from_base64(link, 'the image of the task')
        path, own = link, self.label_studio
        if own is not None and link.startswith(own.url + '/'):
            path = link[len(own.url) :]
        try:
            parts = urlsplit(path)
        except ValueError:  # half an IPv6 address
            raise Refused(422, f'the image of the task is {shown(link)}, which is no address') from None
        if parts.path.rstrip('/').endswith('/data/local-files') and parts.scheme in ('', 'http', 'https'):
            return self._local(path)  # whatever the host: it is not asked
        if parts.scheme or parts.netloc:
            raise Refused(422, f'the image of the task is {shown(link)}, an address that this server does not ask')
        if parts.path.startswith(_UPLOADS):
            inner = self._inner(unquote(parts.path[len(_UPLOADS) :]))
            if own is None:
                raise Refused(422, f'{shown(link)} is an upload; start with --label-studio-url and a token to read it')
            return inner.rsplit('/', 1)[-1], own.get(_UPLOADS + quote(inner), self.most_bytes)
        raise Refused(
            422, f'the image of the task is {shown(link)}; accepted are uploads and local files of Label Studio'
        )

    def _local(self, link: str) -> tuple[str, bytes]:
        if self.folder is None:
            raise Refused(422, f'{shown(link)} is a local file; start with --local-files DIR to read it')
        inner = self._inner(file_of(link))
        path = (self.folder / inner).resolve()
        if not path.is_relative_to(self.folder):
            raise Refused(422, f'{shown(inner)} leads out of the folder of local files')
        try:
            return path.name, read_bytes(path, self.most_bytes)
        except (OSError, ValueError) as error:
            raise Refused(422, cause(error).replace(str(path), inner)) from None

    @staticmethod
    def _inner(name: str) -> str:
        try:
            return inner_path(name, 'the image of the task')
        except ValueError:
            raise Refused(422, f'the image of the task is {shown(name)}; accepted are paths below the folder') from None
