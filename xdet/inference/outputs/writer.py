"""Writes results: every file whole or not at all, and no file on top of another image's."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from xdet.inference.inputs.images import RESULTS
from xdet.io.reading import expand, shorten
from xdet.io.writing import check_place
from xdet.io.writing import write_files as _write_files

if TYPE_CHECKING:
    from .journal import Journal

_MAX_BYTES = 150  # file systems take 255, of which suffixes and the names of unfinished files need some


class OutputError(OSError):
    """Results cannot be written; the message is one line for the user."""


class ResultWriter:
    """Writes ``preds/NAME.json``, ``preds/NAME_<map>.png`` and ``vis/NAME.png`` below one folder.

    What belongs to all images, ``rankings.json`` and ``ranking_1.png`` and so on, lies in the folder itself.

    Args:
        out_dir (str | Path): Folder, made with the first result.
        names (Iterable[str]): Names of all images of the run, in order; or some, and :meth:`name` adds the others in
            their order. They become unique file names then, so the name of an image does not depend on which others
            fail.

    Raises:
        OutputError: The folder cannot be made or written to.
    """

    def __init__(self, out_dir: str | Path, names: Iterable[str] = ()) -> None:
        self.out_dir = _folder(out_dir)
        self._shown = shorten(str(self.out_dir))
        self.journal: Journal | None = None
        self.stems: list[str] = []
        self._unique = UniqueStems()
        for name in names:
            self.name(name)
        try:
            for folder in ('', *RESULTS):
                check_place(self.out_dir / folder, folder=True)
        except OSError as error:
            told = f"'{self._shown}' cannot be written: {error.strerror}" if error.strerror else str(error)
            raise OutputError(f'output folder {told}') from error

    def name(self, image: str) -> None:
        """Add the next image."""
        self.stems.append(self._unique(image))

    def write(
        self,
        index: int,
        prediction: dict[str, Any] | None,
        maps: Mapping[str, np.ndarray | bytes],
        picture: np.ndarray | None,
        stamp: Any = None,
    ) -> dict[str, str]:
        """Write the results of one image; after an error none of its files is new.

        Args:
            index (int): Position of the image in ``names``.
            prediction (dict, optional): JSON-ready result. The paths returned are added to it, as key ``files``.
            maps (Mapping[str, np.ndarray | bytes]): Index maps by suffix, or the bytes of their PNG files.
            picture (np.ndarray, optional): RGB uint8 overlay.
            stamp (Any): For the journal, see :meth:`~.journal.Journal.begin`.

        Returns:
            dict[str, str]: Paths relative to the output folder by kind: the suffixes of maps, ``vis``, ``json``.

        Raises:
            OutputError: Disk full, no permission, and the like.
        """
        stem = self.stems[index]
        files: dict[str, str] = {}
        contents: dict[Path, bytes] = {}
        if prediction is not None:
            for suffix, array in maps.items():
                files[suffix] = f'preds/{stem}_{suffix}.png'
                contents[self.out_dir / files[suffix]] = array if isinstance(array, bytes) else png_bytes(array)
        if picture is not None:
            files['vis'] = f'vis/{stem}.png'
            contents[self.out_dir / files['vis']] = png_bytes(picture)
        if prediction is not None:
            files['json'] = f'preds/{stem}.json'
            prediction['files'] = dict(files)
            contents[self.out_dir / files['json']] = json_bytes(prediction)
        if self.journal is not None and prediction is not None:
            try:
                self.journal.begin(index, prediction['image'], stamp, files, list(contents.values()))
            except OSError as error:
                raise OutputError(f"'{self.journal.path}' cannot be written: {_reason(error)}") from error
        self._write(contents, f"results of '{stem}'")
        return files

    def write_rankings(self, rankings: list[dict[str, Any]] | None, sheets: list[np.ndarray]) -> None:
        """Write rankings of all images: JSON, and a picture per text.

        Raises:
            OutputError: Disk full, no permission, and the like.
        """
        contents = {
            self.out_dir / f'ranking_{number}.png': png_bytes(sheet) for number, sheet in enumerate(sheets, start=1)
        }
        if rankings is not None:
            contents[self.out_dir / 'rankings.json'] = json_bytes(rankings)
        self._write(contents, 'rankings')

    def _write(self, contents: dict[Path, bytes], what: str) -> None:
        try:
            _write_files(contents)
        except OSError as error:
            raise OutputError(f"{what} cannot be written below '{self._shown}': {_reason(error)}") from error


def _folder(out_dir: str | Path) -> Path:
    try:
        return expand(out_dir)
    except ValueError as error:
        raise OutputError(f'output folder {error}') from error


class UniqueStems:
    """File names without suffix for image names (paths, URLs), made unique by ``_2``, ``_3``.

    Names that differ only in case count as equal because some file systems hold them for equal.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}  # with the number that was tried last

    def __call__(self, name: str) -> str:
        base = name.split('?')[0].split('#')[0] if '://' in name else name
        stem = re.sub(r'[^\w.\- ]+', '_', Path(base).stem).strip(' .')
        stem = stem.encode('utf-8')[:_MAX_BYTES].decode('utf-8', errors='ignore') or 'image'
        candidate, number = stem, self._taken.get(stem.lower(), 1)
        while candidate.lower() in self._taken:
            number += 1
            candidate = f'{stem}_{number}'
        self._taken[stem.lower()] = number
        self._taken.setdefault(candidate.lower(), 1)
        return candidate


def unique_stems(names: Iterable[str]) -> list[str]:
    """The names of :class:`UniqueStems` for all images, in order."""
    return list(map(UniqueStems(), names))


def png_bytes(array: np.ndarray) -> bytes:
    """PNG of uint8/uint16 ``[H, W]`` or RGB uint8 ``[H, W, 3]``."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format='PNG')
    return buffer.getvalue()


def png_of_strips(strips: Iterable[np.ndarray], height: int, width: int) -> bytes:
    """PNG of an image whose strips are made one after the other: uint8 or uint16 ``[h, W]``, or RGB uint8."""
    packer, packed, kind = zlib.compressobj(6), [], None
    for strip in strips:
        kind = (8 * strip.dtype.itemsize, 2 if strip.ndim == 3 else 0)
        rows = np.ascontiguousarray(strip).astype(strip.dtype.newbyteorder('>')).view(np.uint8).reshape(len(strip), -1)
        packed.append(packer.compress(np.pad(rows, [(0, 0), (1, 0)]).tobytes()))  # 0: rows are not filtered
    assert kind is not None
    header = struct.pack('>IIBBBBB', width, height, *kind, 0, 0, 0)
    chunks = ((b'IHDR', header), (b'IDAT', b''.join([*packed, packer.flush()])), (b'IEND', b''))
    parts = (
        struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data)) for name, data in chunks
    )
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def json_bytes(data: Any) -> bytes:
    """UTF-8; what UTF-8 cannot hold (half a surrogate pair, typed in by accident) becomes a question mark."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode('utf-8', errors='replace')


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
