"""Errors that a client is told."""

from __future__ import annotations

from collections.abc import Mapping

from xdet.io.reading import shorten


class Refused(Exception):
    """A request that is not answered.

    Args:
        status (int): Of HTTP.
        message (str): One line for the client.
        headers (Mapping[str, str], optional): Of the response.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.message = shorten(' '.join(message.split()), 1000)
        self.headers = dict(headers or {})
        super().__init__(self.message)
