"""Reading and writing of files of weights, never running code that a file contains."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any
from urllib.parse import urlparse

import numpy as np
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer, print_log
from torch import Tensor, nn

from xdet.io.locking import locked
from xdet.io.reading import download, expand, file_sha256, parse_json, shorten
from xdet.io.schema import shown
from xdet.io.writing import replacing
from xdet.structures.known_words import KEY as KNOWN_WORDS
from xdet.structures.known_words import KnownWords
from xdet.structures.vocabulary import Vocabulary


class CheckpointError(ValueError):
    """A file cannot be used as weights; the message names the file and says why."""


def meta_of(checkpoint: Any) -> Any:
    """Meta information of a checkpoint; None for plain weights, whose entries are all parameters."""
    return checkpoint.get('meta') if isinstance(checkpoint.get('state_dict'), Mapping) else None


def known_words_of(checkpoint: Any, name: str | os.PathLike) -> KnownWords | None:
    """Training vocabulary that came with weights; None if there is none, or, with a warning, none that can be meant.

    Args:
        checkpoint (Any): What :func:`read_checkpoint` read.
        name (str | PathLike): Of the file, for the warning.
    """
    meta = meta_of(checkpoint) if isinstance(checkpoint, Mapping) else None
    found = meta.get(KNOWN_WORDS) if isinstance(meta, Mapping) else None
    if found is None:
        return None
    try:
        return KnownWords.from_plain(found)
    except ValueError as error:
        message = f"'{name}': its training vocabulary ({KNOWN_WORDS}) is left out: {error}"
        print_log(message, logger='current', level=logging.WARNING)
        return None


def read_state_dict(path_or_url: str | os.PathLike) -> dict[str, Tensor]:
    """Read the weights of a checkpoint, in whatever layout.

    With an ``EMAHook``, MMEngine stores the averaged weights as ``state_dict``, so these are what is read.

    Raises:
        CheckpointError: The file cannot be read or is no checkpoint.
    """
    return state_dict_of(read_checkpoint(path_or_url), path_or_url)


def state_dict_of(checkpoint: Any, path_or_url: str | os.PathLike) -> dict[str, Tensor]:
    """Weights of what :func:`read_checkpoint` read, in whatever layout.

    Raises:
        CheckpointError: There are none.
    """
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise CheckpointError(f"'{path_or_url}' holds no weights (a dict of tensors, or one under 'state_dict')")
    for key, value in weights.items():
        if not isinstance(key, str):
            raise CheckpointError(f"'{path_or_url}' holds no weights: {shorten(repr(key))} is no name of a parameter")
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_complex():
            raise CheckpointError(
                f"'{path_or_url}': {shorten(key)} is a sparse, quantized, complex or empty tensor; accepted are plain "
                'numbers'
            )
    return dict(weights)


def read_checkpoint(path_or_url: str | os.PathLike, map_location: Any = 'cpu') -> Any:
    """Read everything a checkpoint file holds: weights, and in files of MMEngine also the state of the training.

    Args:
        path_or_url (str | os.PathLike): A file of ``torch.save``, a ``.safetensors`` file, or the URL of one. What a
            URL names is downloaded once, into torch.hub's folder.
        map_location (Any): As in ``torch.load``.

    Raises:
        CheckpointError: There is no such file, it is damaged, or it holds pickled code.
    """
    if not isinstance(path_or_url, (str, os.PathLike)):
        raise CheckpointError(f'checkpoint is {shown(path_or_url)}; accepted are a path and a URL')
    name = shorten(os.fspath(path_or_url))
    path = local_file(path_or_url)
    try:
        path.stat()
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint '{name}' does not exist") from None
    except OSError as error:  # a name that no file system can hold, a link to itself
        raise CheckpointError(f"checkpoint '{name}' cannot be read: {error.strerror}") from None
    if path.is_dir():
        raise CheckpointError(f"checkpoint '{name}' is a folder; name the file in it")
    if not path.is_file():
        raise CheckpointError(f"checkpoint '{name}' is a pipe, socket or device, not a file")
    try:
        if path.suffix.lower() == '.safetensors':
            device = 'cpu' if map_location is None or callable(map_location) else str(map_location)
            return _with_header(safetensors.torch.load_file(path, device=device), path)
        _check_sums(path)
        return load_plain(path, map_location=map_location)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint '{name}' {error}") from error.__cause__
    except Exception as error:  # damaged bytes make the readers stumble over anything
        raise CheckpointError(f"checkpoint '{name}' is damaged or truncated: {_first_line(error)}") from error


def _with_header(weights: dict[str, Tensor], path: Path) -> dict[str, Any]:
    """Weights, or, if the header of their file holds a training vocabulary, a checkpoint with both."""
    with safetensors.safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(KNOWN_WORDS)
    if text is None:
        return weights
    try:
        known = parse_json(text, f'{KNOWN_WORDS} in its header')
    except ValueError as error:
        known = str(error)  # refused, with a warning, where it is asked for
    return dict(state_dict=weights, meta={KNOWN_WORDS: known})


def load_plain(file: str | os.PathLike | IO[bytes], types: Sequence[type] = (), map_location: Any = 'cpu') -> Any:
    """Read what ``torch.save`` wrote, unless that would run code.

    Args:
        file (str | PathLike | IO[bytes]): The file.
        types (Sequence[type]): Classes that may occur, beside those of MMEngine's checkpoints.
        map_location (Any): As in ``torch.load``.

    Raises:
        CheckpointError: It is damaged, or holds pickled code. The message does not name the file.
    """
    try:
        with torch.serialization.safe_globals([*_safe_globals(), *types]):
            return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        # The kind of refusal is only told by the text; anything but a forbidden name means bytes that are no pickle.
        forbidden = re.search(r'GLOBAL (\S+)|getattr of \S+', str(error))
        if forbidden:
            raise CheckpointError(
                f'holds pickled code ({forbidden[1] or forbidden[0]}), which is never run; save only its weights (a '
                'dict of tensors) and load these'
            ) from None
        raise CheckpointError('is damaged or not a checkpoint') from error
    except Exception as error:
        raise CheckpointError(f'is damaged or truncated: {_first_line(error)}') from error


def _check_sums(path: Path) -> None:
    """Compare the checksums of a file of ``torch.save``, a zip archive; torch itself does not look at them."""
    with path.open('rb') as file:
        if file.read(2) != b'PK':
            return  # a pickle of older versions, which has no checksums
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    if broken:
        raise CheckpointError(f'is damaged: the checksum of {broken} is wrong')


def _first_line(error: BaseException) -> str:
    return shorten(next(iter(str(error).strip().splitlines()), '') or type(error).__name__)


def local_file(path_or_url: str | os.PathLike) -> Path:
    """The file itself, or the local copy of what a URL names, which is downloaded once, into torch.hub's folder.

    Raises:
        CheckpointError: The download failed.
    """
    if _is_url(path_or_url):
        return _download(path_or_url)
    try:
        return expand(path_or_url)
    except ValueError as error:
        raise CheckpointError(f'checkpoint {error}') from error


def weights_sha256(path_or_url: str | os.PathLike) -> str:
    """SHA-256 of a checkpoint file, or of the local copy of what a URL names.

    Raises:
        CheckpointError: The download failed.
        OSError: The file cannot be read.
    """
    return file_sha256(local_file(path_or_url))


def save_weights(
    model: nn.Module, path: str | os.PathLike, dtype: str | None = 'float16', known_words: KnownWords | None = None
) -> None:
    """Write a model's weights to a ``.safetensors`` file, see :func:`write_state_dict`."""
    write_state_dict(model.state_dict(), path, dtype, known_words)


def write_state_dict(
    state_dict: Mapping[str, Tensor],
    path: str | os.PathLike,
    dtype: str | None = None,
    known_words: KnownWords | None = None,
) -> None:
    """Write weights to a file, which afterwards is either complete or as it was before.

    Args:
        state_dict (Mapping[str, Tensor]): The weights.
        path (str | os.PathLike): The file: ``.safetensors``, or anything else for ``torch.save``.
        dtype (str, optional): Type to store floating-point weights in; None keeps theirs.
        known_words (KnownWords, optional): Training vocabulary that goes with them: in the header of a
            ``.safetensors`` file, else as meta information beside ``state_dict``.

    Raises:
        CheckpointError: The type cannot hold a weight, or the file cannot be written (disk full, no permission).
    """
    path = Path(path)
    weights = {key: _stored(key, value, path, dtype) for key, value in state_dict.items()}
    plain = None if known_words is None else known_words.to_plain()
    try:
        with replacing(path) as file:
            if path.suffix == '.safetensors':
                header = {} if plain is None else {KNOWN_WORDS: json.dumps(plain, ensure_ascii=False)}
                file.write(safetensors.torch.save(weights, metadata={'format': 'pt', **header}))
            else:
                torch.save(weights if plain is None else dict(state_dict=weights, meta={KNOWN_WORDS: plain}), file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise CheckpointError(f"cannot write '{path}': {reason}") from error


def _stored(key: str, value: Tensor, path: Path, dtype: str | None) -> Tensor:
    """A weight as it is written to a file."""
    if dtype is None or not value.is_floating_point():
        return value.cpu().contiguous()
    stored = value.to(getattr(torch, dtype)).cpu().contiguous()
    if not stored.isfinite().all() and value.isfinite().all():
        raise CheckpointError(f"cannot write '{path}': {dtype} cannot hold the values of {key}")
    return stored


def install_safe_loader(module: ModuleType) -> None:
    """Make MMEngine read checkpoints, wherever they are, through :func:`read_checkpoint` and :func:`load_plain`.

    Its own functions fall back to running pickled code when a safe load fails. Those of other schemes
    (``torchvision://``, ``open-mmlab://``, ``mmcls://``, ``s3://``) look a file up and then call the two replaced here.

    Args:
        module (ModuleType): ``mmengine.runner.checkpoint``.
    """
    module.CheckpointLoader.register_scheme(('', 'http://', 'https://'), _load_from_file, force=True)
    module.load_from_http = _load_from_file
    module._safe_torch_load = _load_from_file


def _load_from_file(filename: str | IO[bytes], map_location: Any = None, **_: Any) -> Any:
    if isinstance(filename, (str, os.PathLike)):
        return read_checkpoint(filename, map_location)
    return load_plain(filename, map_location=map_location)


def _safe_globals() -> list:
    """What training checkpoints hold besides tensors: numpy values, histories of logged scalars, the class names."""
    # numpy's own restoring functions, by the names under which files of numpy 1 and of numpy 2 refer to them.
    functions = {'_reconstruct': np.empty(0).__reduce__()[0], 'scalar': np.float64(0).__reduce__()[0]}
    aliases = [
        (function, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for name, function in functions.items()
    ]
    dtypes = {type(np.dtype(code)) for code in '?bhilqBHILQefdSU'}
    return [*aliases, np.ndarray, np.dtype, *dtypes, HistoryBuffer, (_history_method, 'builtins.getattr'), Vocabulary]


def _history_method(owner: Any, name: str) -> Any:
    """Stands in for ``getattr`` while a file is read: histories store references to their own statistics methods."""
    if owner is not HistoryBuffer or not isinstance(name, str) or name.startswith('_'):
        raise pickle.UnpicklingError(f'getattr of {owner!r}')
    return getattr(owner, name)


def _is_url(path_or_url: str | os.PathLike) -> bool:
    return urlparse(os.fspath(path_or_url)).scheme in ('http', 'https')


def _download(url: str | os.PathLike) -> Path:
    """Local copy of what a URL names; the first process of a machine fetches it, others wait for that."""
    url = os.fspath(url)
    name = Path(urlparse(url).path).name[-100:] or 'checkpoint'
    # Files of one name at different places must not be taken for each other.
    path = Path(torch.hub.get_dir(), 'checkpoints', f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}')
    try:
        if not path.exists():
            with locked(path.with_name('.download.lock'), wait=True):
                if not path.exists():
                    download(url, path)
    except OSError as error:  # urllib's errors are OSErrors
        raise CheckpointError(f"cannot download '{shorten(url)}': {_first_line(error)}") from error
    return path


def __getattr__(name: str) -> Any:
    """Functions that moved to :mod:`xdet.compat.fitting`, with a warning, until version 0.3."""
    if name not in ('load_weights', 'check_finite', 'to_xdet'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    warnings.warn(f'{__name__}.{name} is now xdet.compat.fitting.{name}', DeprecationWarning, stacklevel=2)
    return getattr(import_module('xdet.compat.fitting'), name)
