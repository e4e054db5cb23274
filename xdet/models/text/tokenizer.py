"""CLIP's byte-pair tokenizer, offline: open_clip ships its vocabulary."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

import regex
import torch
from mmengine.logging import print_log
from open_clip import SimpleTokenizer
from torch import Tensor

from xdet.io.reading import shorten
from xdet.structures.generation import END_TOKEN, START_TOKEN

VOCAB_SIZE = 49408


@lru_cache(maxsize=1)
def _bpe() -> SimpleTokenizer:
    """open_clip's tokenizer, but ``<end_of_text>`` in a text of a user is letters, not the end of the text."""
    tokenizer = SimpleTokenizer()
    special = ''.join(f'{tokenizer.decoder[token]}|' for token in tokenizer.all_special_ids)
    tokenizer.pat = regex.compile(tokenizer.pat.pattern.removeprefix(special), regex.IGNORECASE)
    tokenizer.cache.clear()
    return tokenizer


_MOST_LETTERS = 20_000  # tokens have up to some twenty letters; contexts have 77 tokens


@lru_cache(maxsize=256)
def _warn_truncated(texts: tuple[str, ...], length: int, context_length: int) -> None:
    shown = texts[0] if len(texts[0]) <= 60 else texts[0][:57] + '...'
    others = f' (and {len(texts) - 1} more)' if len(texts) > 1 else ''
    print_log(
        f'text {shown!r}{others} has {length} tokens; only the first {context_length} are read (context_length)',
        logger='current',
        level=logging.WARNING,
    )


def tokenize(texts: Sequence[str], context_length: int = 77) -> Tensor:
    """Token ids of texts, each between a start and an end token.

    A text that is too long loses its last tokens but keeps the end token; one warning names the first of them.

    Args:
        texts (Sequence[str]): Texts; case and repeated white space do not matter.
        context_length (int): Most tokens per text, the two special ones included.

    Returns:
        Tensor: int64 ids ``[n, L]``, L being the longest of them, padded with 0 at the end.

    Raises:
        TypeError: Something else than a list of strings was given.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f'texts to tokenize must be a list of strings, not {shorten(repr(texts))}')
    rows, truncated = [], {}
    for text in texts:
        row = [START_TOKEN, *_bpe().encode(_cut(text)), END_TOKEN]
        if len(row) > context_length:
            truncated[text] = len(row)
            row = [*row[: context_length - 1], END_TOKEN]
        rows.append(torch.tensor(row))
    if truncated:
        _warn_truncated(tuple(truncated), next(iter(truncated.values())), context_length)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True) if rows else torch.zeros(0, 2, dtype=torch.long)


def _cut(text: str) -> str:
    """What of a text can be read: encoding takes minutes for megabytes, of which a few tokens are kept."""
    if len(text) <= _MOST_LETTERS:
        return text
    return text[:_MOST_LETTERS]


def decode(ids: Sequence[int]) -> str:
    """Text of token ids up to the first end token, without start tokens and padding."""
    ids = list(ids)
    if END_TOKEN in ids:
        ids = ids[: ids.index(END_TOKEN)]
    return _bpe().decode([int(token) for token in ids if token != START_TOKEN]).strip()
