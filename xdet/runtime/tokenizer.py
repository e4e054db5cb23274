"""CLIP's byte-pair tokenizer without torch: equal to :mod:`xdet.models.text.tokenizer`, from the same table."""

from __future__ import annotations

import gzip
import html
import logging
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xdet.io.reading import read_bytes, shorten
from xdet.structures.generation import END_TOKEN, START_TOKEN

_MERGES = START_TOKEN - 512  # the other tokens are bytes, inside of words and at their ends
_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_MOST_LETTERS = 20_000  # tokens have up to some twenty letters; contexts have 77 tokens
_LOGGER = logging.getLogger(__name__)


class Tokenizer:
    """Texts to token ids and back.

    Args:
        path (Path): Table of merges, one pair a line after a title, compressed by gzip.
        context_length (int): Most tokens per text, the two special ones included.

    Raises:
        ValueError: The file is no such table.
    """

    def __init__(self, path: Path, context_length: int) -> None:
        import regex

        self.context_length = context_length
        try:
            lines = gzip.decompress(read_bytes(path)).decode('utf-8').split('\n')[1 : _MERGES + 1]
        except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
            raise ValueError(f'{path}: no table of tokens ({shorten(str(error))})') from None
        pairs = [tuple(line.split()) for line in lines]
        if len(pairs) != _MERGES or any(len(pair) != 2 for pair in pairs):
            raise ValueError(f'{path}: a table of {_MERGES} pairs of tokens is needed, not of {len(pairs)}')
        self._ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self._letters = _letters_of_bytes()
        singles = list(self._letters)
        tokens = [*singles, *(letter + '</w>' for letter in singles), *(''.join(pair) for pair in pairs)]
        self._ids = {token: number for number, token in enumerate(tokens)}
        self._tokens = tokens
        self._by_byte = {self._byte(letter): letter for letter in singles}
        self._words = regex.compile(_PATTERN, regex.IGNORECASE)
        self._merged = lru_cache(maxsize=4096)(self._merge)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Token ids ``[n, L]``, L being the longest of them, padded with 0; texts that are too long are cut."""
        rows = []
        for text in texts:
            row = [START_TOKEN, *self._encode(text), END_TOKEN]
            if len(row) > self.context_length:
                _LOGGER.warning(
                    f'text {shorten(repr(text), 60)} has {len(row)} tokens; only the first {self.context_length} are '
                    'read (context_length)'
                )
                row = [*row[: self.context_length - 1], END_TOKEN]
            rows.append(row)
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids up to the first end token, without start tokens."""
        ids = [int(token) for token in ids]
        if END_TOKEN in ids:
            ids = ids[: ids.index(END_TOKEN)]
        letters = ''.join(self._tokens[token] for token in ids if token != START_TOKEN)
        data = bytes(self._byte(letter) for letter in letters)
        return data.decode('utf-8', errors='replace').replace('</w>', ' ').strip()

    def _encode(self, text: str) -> list[int]:
        import ftfy

        plain = html.unescape(html.unescape(ftfy.fix_text(text[:_MOST_LETTERS])))
        words = self._words.findall(' '.join(plain.split()).lower())
        return [token for word in words for token in self._merged(word)]

    def _merge(self, word: str) -> tuple[int, ...]:
        """Tokens of a word: of all neighbours the pair that comes first in the table is joined, again and again."""
        parts = [self._by_byte[byte] for byte in word.encode('utf-8', errors='replace')]
        parts[-1] += '</w>'
        while len(parts) > 1:
            best = min(zip(parts, parts[1:], strict=False), key=lambda pair: self._ranks.get(pair, _MERGES))
            if best not in self._ranks:
                break
            joined: list[str] = []
            for part in parts:
                if joined and (joined[-1], part) == best:
                    joined[-1] += part
                else:
                    joined.append(part)
            parts = joined
        return tuple(self._ids[part] for part in parts)

    def _byte(self, letter: str) -> int:
        return self._letters[letter]


def _letters_of_bytes() -> dict[str, int]:
    """The byte that each letter stands for; bytes that are no printable letter of Latin-1 have one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {
        **{chr(byte): byte for byte in printable},
        **{chr(0x100 + number): byte for number, byte in enumerate(others)},
    }
