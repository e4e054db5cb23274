"""Files of embedded class names: one ``.safetensors`` whose header says what the embeddings belong to."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from xdet.io.reading import shorten
from xdet.io.writing import write_bytes
from xdet.structures import templates
from xdet.structures.embedding_header import FORMAT, KEYS, LEAST_NORM, OF_EXAMPLES, read_header


class EmbeddingFileError(ValueError):
    """A file of embeddings cannot be used or written; the message names it and says why."""


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file holds.

    Attributes:
        names (list[str]): Class names, cleaned where they were put into templates.
        prompted (list[bool]): Whether each name was averaged over the templates or encoded as it is.
        embeddings (Tensor): ``[n, C]`` of unit length.
        encoder (str): Fingerprint of the text encoder's weights.
        templates (str): Fingerprint of the templates.
        shown (list[str]): Those of the names that were learned from regions of images, not from their text.
        weights (str): Hash of the checkpoint that these were learned with; empty where there are none.
    """

    names: list[str]
    prompted: list[bool]
    embeddings: Tensor
    encoder: str
    templates: str
    shown: list[str] = field(default_factory=list)
    weights: str = ''

    def check(self, path: str | os.PathLike, width: int, encoder: str) -> None:
        """Raise :class:`EmbeddingFileError` unless the embeddings equal those that an encoder would compute.

        Args:
            path (str | os.PathLike): Name of the file, for the message.
            width (int): Width of the encoder's embeddings.
            encoder (str): Fingerprint of its weights.
        """
        if self.templates != templates_fingerprint():
            raise EmbeddingFileError(f"embeddings '{path}' were made with other prompt templates; embed the names anew")
        if self.embeddings.shape[1] != width:
            raise EmbeddingFileError(
                f"embeddings '{path}' have {self.embeddings.shape[1]} channels; the text encoder makes {width}"
            )
        if self.encoder != encoder:
            raise EmbeddingFileError(
                f"embeddings '{path}' were made with other weights of the text encoder (fingerprint "
                f'{self.encoder[:12]}, that of the loaded weights is {encoder[:12]}); embed the names anew'
            )


def templates_fingerprint() -> str:
    """Hash of the prompt templates."""
    return hashlib.sha256('\n'.join(templates.TEMPLATES).encode()).hexdigest()


def read_embeddings(path: str | os.PathLike) -> EmbeddingFile:
    """Read a file of embeddings onto the CPU.

    Raises:
        EmbeddingFileError: There is no such file, it is damaged, or it holds something else.
    """
    if not Path(path).is_file():
        raise EmbeddingFileError(f"embeddings '{path}' do not exist or are not a file")
    try:
        with safetensors.safe_open(path, framework='pt') as file:
            header = file.metadata() or {}
            table = file.get_tensor('embeddings') if 'embeddings' in file.keys() else None
        if header.get('format') != FORMAT or table is None:
            raise EmbeddingFileError(f"'{path}' holds no embeddings of class names (format {FORMAT})")
        if table.ndim != 2:
            raise ValueError(f'the embeddings have shape {tuple(table.shape)}')
        names, prompted, templates, encoder, shown, weights = read_header(header, len(table))
        if not table.is_floating_point():
            raise ValueError(f'the embeddings are of type {table.dtype}')
        wrong = ~(table.float().isfinite().all(1) & (table.float().norm(dim=1) > LEAST_NORM))
        if wrong.any():
            raise ValueError(f"the embedding of '{names[int(wrong.nonzero()[0])]}' is zero or not finite")
    except EmbeddingFileError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        reason = shorten(next(iter(str(error).splitlines()), type(error).__name__))
        raise EmbeddingFileError(f"embeddings '{path}' are damaged: {reason}") from error
    return EmbeddingFile(names, prompted, table, encoder, templates, shown, weights)


def write_embeddings(path: str | os.PathLike, content: EmbeddingFile) -> None:
    """Write a file of embeddings, which afterwards is either complete or as it was before.

    Raises:
        EmbeddingFileError: It cannot be written (disk full, no permission), or its name does not end in .safetensors.
    """
    path = Path(path)
    if path.suffix != '.safetensors':
        raise EmbeddingFileError(f"embeddings are written to .safetensors files, not to '{path}'")
    keys = (*KEYS, *(OF_EXAMPLES if content.shown else ()))
    header = {key: json.dumps(getattr(content, key), ensure_ascii=False) for key in keys}
    data = safetensors.torch.save(
        {'embeddings': content.embeddings.cpu().contiguous()}, metadata={'format': FORMAT, **header}
    )
    try:
        write_bytes(path, data)
    except OSError as error:
        raise EmbeddingFileError(f"cannot write embeddings '{path}': {error.strerror or error}") from error


def weights_fingerprint(weights: dict[str, Tensor], settings: str) -> str:
    """Hash of weights by name, type, shape and value, wherever they are, and of settings that are no weights."""
    digest = hashlib.sha256(settings.encode())
    for name, value in weights.items():
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
