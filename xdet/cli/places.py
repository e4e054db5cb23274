"""Types of arguments that say where results go: looked at while the command line is read, before any work."""

from __future__ import annotations

import argparse
from pathlib import Path

from xdet.io.reading import expand
from xdet.io.writing import check_place


def output_folder(text: str) -> Path:
    """The folder, which need not exist.

    Raises:
        argparse.ArgumentTypeError: Nothing can be written there.
    """
    return _place(text, folder=True)


def output_file(text: str) -> Path:
    """The file, which may exist; see :func:`output_folder`."""
    return _place(text, folder=False)


def _place(text: str, folder: bool) -> Path:
    try:
        place = expand(text)
        check_place(place, folder)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return place
