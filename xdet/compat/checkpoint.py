"""Reading and writing of weights: strict about what fits, never running code that a file contains."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import safetensors.torch
import torch
from mmengine.dist import barrier
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors import SafetensorError
from torch import Tensor, nn

from xdet.io.writing import replacing
from xdet.structures.vocabulary import Vocabulary

from .official_weights import is_official, official_to_xdet, strip_wrappers

_SHOWN = 10
_QUERIES = 'decoder.query_feat.weight'
_STEMS = ('backbone.patch_embed.norm.weight', 'backbone.stem.norm.weight')  # FocalNet, DaViT
_CONFIGS = {  # (channels of the stem, queries) -> config
    (96, 101): 'xdecoder_focal-t',
    (192, 101): 'xdecoder_focal-l_oq101',
    (192, 201): 'xdecoder_focal-l',
    (128, 201): 'xdecoder_davit-d3',
    (256, 201): 'xdecoder_davit-d5',
}


class CheckpointError(ValueError):
    """A file cannot be used as weights; the message names the file and says why."""


def load_weights(
    model: nn.Module,
    path_or_url: str | os.PathLike,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> dict[str, Any]:
    """Load weights in the official layout or in ours into a model and insist that they fit.

    Parameters of a task that the model does not have configured are skipped.

    Args:
        model (nn.Module): An xdet model.
        path_or_url (str | os.PathLike): An official ``.pt``, an own ``.pth`` or ``.safetensors``, or the URL of one.
        allow_missing (Sequence[str]): Patterns, such as ``'tasks.*'``, of parameters that may be missing in the file or
            have another shape there; they keep their values.
        allow_unexpected (Sequence[str]): Patterns of entries that the model may lack; they are ignored.

    Returns:
        dict[str, Any]: Meta information of the data set the weights were trained on (``classes``, ``vocabulary``), as
        MMEngine stores it; empty for files that hold weights only.

    Raises:
        CheckpointError: The file cannot be read, is of another model, or does not fit; all problems are listed.
    """
    checkpoint = read_checkpoint(path_or_url)
    weights = to_xdet(_state_dict(checkpoint, path_or_url))
    own = model.state_dict()
    if not weights.keys() & own.keys():
        some = ', '.join(list(weights)[:3])
        raise CheckpointError(f"'{path_or_url}' holds weights of another model (entries such as {some})")
    weights = _skip_unconfigured_tasks(weights, own)
    missing = [key for key in own if key not in weights and not _matches(key, allow_missing)]
    unexpected = [key for key in weights if key not in own and not _matches(key, allow_unexpected)]
    different = [key for key in weights if key in own and weights[key].shape != own[key].shape]
    reshaped = [key for key in different if not _matches(key, allow_missing)]
    if missing or unexpected or reshaped:
        shapes = [f'{key} {tuple(weights[key].shape)} in the file, {tuple(own[key].shape)} in it' for key in reshaped]
        problems = (
            _listed('lacks', missing),
            _listed('has unknown', unexpected),
            _listed('has wrong shapes for', shapes),
        )
        reason = _mismatch_hint(weights, own) + '; '.join(filter(None, problems))
        raise CheckpointError(f"'{path_or_url}' does not fit the model: {reason}")
    model.load_state_dict({key: weights[key] for key in weights if key in own and key not in different}, strict=False)
    print_log(f'loaded weights of {path_or_url}', logger='current')
    meta = checkpoint.get('meta') if isinstance(checkpoint.get('state_dict'), Mapping) else None
    return dict((meta or {}).get('dataset_meta') or {})


def to_xdet(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in our layout, whichever of the two layouts they come in; unknown entries keep their names."""
    if is_official(state_dict):
        return official_to_xdet(state_dict, strict=False)
    return strip_wrappers(state_dict)


def read_state_dict(path_or_url: str | os.PathLike) -> dict[str, Tensor]:
    """Read the weights of a checkpoint, in whatever layout.

    With an ``EMAHook``, MMEngine stores the averaged weights as ``state_dict``, so these are what is read.

    Raises:
        CheckpointError: The file cannot be read or is no checkpoint.
    """
    return _state_dict(read_checkpoint(path_or_url), path_or_url)


def _state_dict(checkpoint: Any, path_or_url: str | os.PathLike) -> dict[str, Tensor]:
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise CheckpointError(f"'{path_or_url}' holds no weights (a dict of tensors, or one under 'state_dict')")
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
    path = local_file(path_or_url)
    if path.is_dir():
        raise CheckpointError(f"checkpoint '{path_or_url}' is a folder; name the file in it")
    if not path.is_file():
        raise CheckpointError(f"checkpoint '{path_or_url}' does not exist")
    try:
        if path.suffix == '.safetensors':
            device = 'cpu' if map_location is None or callable(map_location) else str(map_location)
            return safetensors.torch.load_file(path, device=device)
        with torch.serialization.safe_globals(_safe_globals()):
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        # The kind of refusal is only told by the text; anything but a forbidden name means bytes that are no pickle.
        forbidden = re.search(r'GLOBAL (\S+)|getattr of \S+', str(error))
        if forbidden:
            raise CheckpointError(
                f"checkpoint '{path_or_url}' holds pickled code ({forbidden[1] or forbidden[0]}), which is never run; "
                'save only its weights (a dict of tensors) and load these'
            ) from None
        raise CheckpointError(f"'{path_or_url}' is damaged or not a checkpoint") from error
    except (RuntimeError, EOFError, KeyError, SafetensorError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"checkpoint '{path_or_url}' is damaged or truncated: {reason}") from error


def local_file(path_or_url: str | os.PathLike) -> Path:
    """The file itself, or the local copy of what a URL names, which is downloaded once, into torch.hub's folder.

    Raises:
        CheckpointError: The download failed.
    """
    return Path(_download(path_or_url) if _is_url(path_or_url) else path_or_url).expanduser()


def save_weights(model: nn.Module, path: str | os.PathLike, dtype: str | None = 'float16') -> None:
    """Write a model's weights to a ``.safetensors`` file, see :func:`write_state_dict`."""
    write_state_dict(model.state_dict(), path, dtype)


def write_state_dict(state_dict: Mapping[str, Tensor], path: str | os.PathLike, dtype: str | None = None) -> None:
    """Write weights to a file, which afterwards is either complete or as it was before.

    Args:
        state_dict (Mapping[str, Tensor]): The weights.
        path (str | os.PathLike): The file: ``.safetensors``, or anything else for ``torch.save``.
        dtype (str, optional): Type to store floating-point weights in; None keeps theirs.

    Raises:
        CheckpointError: The type cannot hold a weight, or the file cannot be written (disk full, no permission).
    """
    path = Path(path)
    weights = {key: _stored(key, value, path, dtype) for key, value in state_dict.items()}
    try:
        with replacing(path) as file:
            if path.suffix == '.safetensors':
                file.write(safetensors.torch.save(weights, metadata={'format': 'pt'}))
            else:
                torch.save(weights, file)
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


def install_safe_loader() -> None:
    """Make MMEngine read local and downloaded checkpoints through :func:`read_checkpoint`.

    Its own loader falls back to running pickled code when a safe load fails.
    """
    CheckpointLoader.register_scheme(('', 'http://', 'https://'), _load_from_file, force=True)


def _load_from_file(filename: str, map_location: Any = None) -> Any:
    return read_checkpoint(filename, map_location)


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
    """Local copy of what a URL names; the first process of every machine fetches it, the others wait."""
    url = os.fspath(url)
    name = Path(urlparse(url).path).name or 'checkpoint'
    # Files of one name at different places must not be taken for each other.
    path = Path(torch.hub.get_dir(), 'checkpoints', f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}')
    try:
        # Not mmengine's get_local_rank, which wants a process group per machine that nobody creates.
        if int(os.environ.get('LOCAL_RANK', 0)) == 0 and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path))
    except OSError as error:  # urllib's errors are OSErrors
        raise CheckpointError(f"cannot download '{url}': {error}") from error
    finally:
        barrier()
    return path


def _skip_unconfigured_tasks(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without those of tasks of which the model has no parameters."""
    configured = {_task(key) for key in own}
    skipped = sorted({task for key in weights if (task := _task(key)) not in configured and task is not None})
    if skipped:
        print_log(f'skipped the weights of tasks the model does not have: {", ".join(skipped)}', logger='current')
    return {key: value for key, value in weights.items() if _task(key) not in skipped}


def _task(key: str) -> str | None:
    """Task that owns a parameter."""
    parts = key.split('.')
    return parts[1] if parts[0] == 'tasks' else None


def _mismatch_hint(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What to do when the file belongs to another size of the model or another number of queries."""
    hint = ''
    if any('.lora_A.' in key for key in weights) and not any('.lora_A.' in key for key in own):
        hint += 'it has LoRA adapters; merge them with tools/model_converters/merge_lora.py; '
    queries = [len(state[_QUERIES]) for state in (weights, own) if _QUERIES in state]
    if len(set(queries)) == 2:
        hint += f'it has {queries[0]} queries, the model {queries[1]}; '
    sizes = [tuple(len(state[key]) for key in (*_STEMS, _QUERIES) if key in state) for state in (weights, own)]
    if sizes[0] != sizes[1] and sizes[0] in _CONFIGS:
        hint += f"the config '{_CONFIGS[sizes[0]]}' fits it; "
    return hint


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _listed(what: str, items: Sequence[str]) -> str:
    more = f', and {len(items) - _SHOWN} more' if len(items) > _SHOWN else ''
    return f'it {what} {len(items)}: {", ".join(items[:_SHOWN])}{more}' if items else ''
