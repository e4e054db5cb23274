"""The page, served.

Nothing is asked of other machines: fonts are those of the system, statistics are off, addresses are not fetched, and a
content security policy keeps browsers from it.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .desk import MAX_BYTES, Desk
from .events import Page
from .style import CSS, theme

_SESSIONS = 30  # users whose last answer is remembered


class LocalOnly:
    """Middleware that tells browsers to load nothing from elsewhere, and to guess no types of files."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add headers to a response."""

        async def sending(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                headers['Content-Security-Policy'] = _POLICY
                headers['X-Content-Type-Options'] = 'nosniff'
                headers['Referrer-Policy'] = 'no-referrer'
            await send(message)

        await self.app(scope, receive, sending)


_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)


@contextmanager
def opened(desk: Desk, host: str = '127.0.0.1', port: int = 7860, in_browser: bool = False) -> Iterator[str]:
    """Serve the page while the body runs; files of users are removed afterwards.

    Args:
        desk (Desk): Models.
        host (str): Address to listen at.
        port (int): Port; 0 is any that is free.
        in_browser (bool): Open it in the browser of the system.

    Yields:
        str: Its address.

    Raises:
        OSError: The port is in use, or may not be used.
    """
    port = _free_port(host, port)
    with tempfile.TemporaryDirectory(prefix='xdet-page-') as folder, _environment(GRADIO_TEMP_DIR=f'{folder}/uploads'):
        page = Page(desk, Path(folder, 'answers'))
        page.blocks.queue(max_size=64)
        _, url, _ = page.blocks.launch(
            server_name=host,
            server_port=port,
            inbrowser=in_browser,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            footer_links=[],
            ssr_mode=False,
            max_file_size=MAX_BYTES,
            state_session_capacity=_SESSIONS,
            allowed_paths=[folder],
            app_kwargs=dict(middleware=[Middleware(LocalOnly)], docs_url=None, redoc_url=None, openapi_url=None),
            theme=theme(),
            css=CSS,
        )
        try:
            yield url
        finally:
            page.blocks.close(verbose=False)


def _free_port(host: str, port: int) -> int:
    """The port, after a try to listen at it.

    Raises:
        OSError: It cannot be had.
    """
    try:
        with socket.create_server((host, port)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f'cannot listen at {host}:{port} ({reason}); choose another --port or --host') from None


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
