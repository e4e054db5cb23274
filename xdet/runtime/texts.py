"""Class names and other texts, embedded by the text tower and remembered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xdet.io.reading import expand, parse_json, read_bytes, shorten
from xdet.io.schema import number, require
from xdet.structures import Vocabulary
from xdet.structures.embedding_header import FORMAT, LEAST_NORM, read_header
from xdet.structures.templates import clean_name

from .model import ExportedModel, ExportError
from .tokenizer import Tokenizer

Floats = NDArray[np.float32]
_EPS = np.float32(1e-7)
_TOKENS_PER_PASS = 8192


class Text(NamedTuple):
    """Features of a text: ``tokens`` ``[L, C]`` and ``pooled`` ``[C]``, not normalised."""

    tokens: Floats
    pooled: Floats


class Texts:
    """Embeds texts with one exported model.

    Args:
        model (ExportedModel): The graphs.
        embeddings (str | Path, optional): Class names embedded before (``tools/misc/embed_vocabulary.py``).

    Raises:
        ExportError: The table of tokens is damaged, or the embeddings are, or they belong to other weights.
    """

    def __init__(self, model: ExportedModel, embeddings: str | Path | None = None) -> None:
        self._model, facts = model, model.facts['text']
        try:
            self.tokenizer = Tokenizer(model.folder / facts['tokens'], facts['context_length'])
        except (OSError, ValueError) as error:
            raise ExportError(str(error)) from None
        self._templates: list[str] = facts['templates']
        self._names: dict[str, Floats] = _read(embeddings, facts) if embeddings is not None else {}
        self._texts: dict[str, Text] = {}

    def vocabulary(self, vocabulary: Vocabulary) -> Floats:
        """Embeddings ``[K, C]`` of unit length: the mean over all templates, and over the texts of a class."""
        keys = [[clean_name(text) for text in texts] for texts in vocabulary.texts]
        self._embed_names([key for of_class in keys for key in of_class if key not in self._names])
        rows = [np.mean([self._names[key] for key in of_class], axis=0) for of_class in keys]
        several = [len(of_class) > 1 for of_class in keys]
        return np.stack([row / np.linalg.norm(row) if more else row for row, more in zip(rows, several, strict=True)])

    def whole(self, texts: Sequence[str]) -> list[Text]:
        """Features of whole texts, such as phrases."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for rows, ids in self._batches(new):
            tokens, pooled = self._model.run('text_encoder', ids=ids)
            for place, row in enumerate(rows):
                end = int(ids[place].argmax()) + 1
                self._texts[new[row]] = Text(tokens[place, :end].copy(), pooled[place].copy())
        return [self._texts[text] for text in texts]

    def directions(self, names: Sequence[str]) -> Floats:
        """Unit vectors ``[n, C]`` of names as they are, which are not remembered."""
        pooled = self._pooled(names or [''])[: len(names)]
        directions: Floats = pooled / (np.linalg.norm(pooled, axis=1, keepdims=True) + _EPS)
        return directions

    def _pooled(self, texts: Sequence[str]) -> Floats:
        """Features ``[n, C]`` of whole texts."""
        pooled: list[Any] = [None] * len(texts)
        for rows, ids in self._batches(texts):
            for row, found in zip(rows, self._model.run('text_encoder', ids=ids)[1], strict=True):
                pooled[row] = found
        return np.stack(pooled)

    def _embed_names(self, names: Sequence[str]) -> None:
        names = list(dict.fromkeys(names))
        for name in names:
            pooled = self._pooled([template.format(name) for template in self._templates])
            mean = (pooled / (np.linalg.norm(pooled, axis=1, keepdims=True) + _EPS)).mean(axis=0)
            self._names[name] = mean / np.linalg.norm(mean)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
        """Texts of similar length together: their rows and token ids."""
        if not texts:
            return
        ids = self.tokenizer(texts)
        lengths = ids.argmax(axis=1) + 1
        order = np.argsort(lengths, kind='stable').tolist()
        while order:
            count = max(1, min(len(order), _TOKENS_PER_PASS // int(lengths[order[-1]])))
            rows, order = order[-count:], order[:-count]
            yield rows, ids[rows, : lengths[rows[-1]]]


def _read(path: str | Path, facts: dict[str, Any]) -> dict[str, Floats]:
    """Names of a file of embeddings that were put into templates.

    Raises:
        ExportError: It is no such file, or was made with other weights or templates.
    """
    name = shorten(str(path))
    try:
        data = read_bytes(expand(path))
        length = int.from_bytes(data[:8], 'little')
        header = parse_json(data[8 : 8 + length], 'its header')
        known, table = (require(header, key, dict, 'its header') for key in ('__metadata__', 'embeddings'))
        if known.get('format') != FORMAT:
            raise ValueError(f'it holds no embeddings of class names (format {FORMAT})')
        start, stop = (
            8 + length + number('an offset of its header', offset, int, 0) for offset in table['data_offsets']
        )
        if table['dtype'] != 'F32' or stop > len(data):
            raise ValueError(f'it ends before its embeddings do, or these are no F32 but {table["dtype"]}')
        rows = np.frombuffer(data[start:stop], dtype=np.float32).reshape(table['shape'])
        names, prompted, templates, encoder, *_ = read_header(known, len(rows))
        if rows.ndim != 2 or not (np.isfinite(rows).all() and (np.linalg.norm(rows, axis=1) > LEAST_NORM).all()):
            raise ValueError('an embedding is zero or not finite')
    except OSError as error:
        raise ExportError(str(error)) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ExportError(f"embeddings '{name}' are damaged ({shorten(str(error))})") from None
    if encoder != facts['encoder']:
        raise ExportError(
            f"embeddings '{name}' were made with other weights of the text encoder (fingerprint {encoder[:12]}, that "
            f'of the exported model is {facts["encoder"][:12]}); embed the names anew'
        )
    if templates != facts['templates_sha256']:
        raise ExportError(f"embeddings '{name}' were made with other prompt templates; embed the names anew")
    return {name: row for name, row, by_template in zip(names, rows, prompted, strict=True) if by_template}


def padded(rows: Sequence[Floats]) -> tuple[Floats, NDArray[np.bool_]]:
    """Rows ``[L_i, C]`` of different length as one array ``[n, L, C]``, and which places of it are theirs."""
    result = np.zeros((len(rows), max(map(len, rows)), rows[0].shape[1]), dtype=np.float32)
    valid = np.zeros(result.shape[:2], dtype=bool)
    for place, row in enumerate(rows):
        result[place, : len(row)], valid[place, : len(row)] = row, True
    return result, valid
