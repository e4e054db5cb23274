"""A browser for tests: Debian's chromium, which may open pages of this machine only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

HERE = ('127.0.0.1', 'localhost', '')
"""Hosts that pages may ask for something; data and blobs have none."""


@pytest.fixture(scope='session')
def chromium() -> Iterator[Any]:
    """A browser of Playwright; tests that need it skip where it is missing."""
    reason = 'playwright is not installed (pip install -r requirements/browser.txt)'
    playwright = pytest.importorskip('playwright.sync_api', reason=reason)
    program = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('chromium-browser')
    if program is None:
        pytest.skip('chromium is not installed (Debian: apt-get install chromium; or CHROMIUM=PATH)')
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=['--no-sandbox'])
        yield browser
        browser.close()


class Watched:
    """A page that remembers what it asked for and what went wrong in it.

    Args:
        browser (Any): See :func:`chromium`.
        **context: Of Playwright's ``new_context``.
    """

    def __init__(self, browser: Any, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.page.on('request', lambda request: self.requests.append(request.url))
        self.page.on('websocket', lambda socket: self.requests.append(socket.url))
        self.page.on('pageerror', lambda error: self.faults.append(str(error)))
        self.page.on('dialog', lambda dialog: (self.faults.append(f'dialog {dialog.message}'), dialog.dismiss()))
        self.page.on('console', lambda line: line.type == 'error' and self.faults.append(line.text))

    def close(self) -> None:
        """Close it.

        Raises:
            AssertionError: It asked another machine for something, or something went wrong in it.
        """
        self.context.close()
        elsewhere = [url for url in self.requests if urlsplit(url).hostname not in (*HERE, None)]
        assert self.requests and not elsewhere, elsewhere
        assert not self.faults, self.faults
