"""Weights into models: strict about what fits, in the official layout or in ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from xdet.structures.known_words import KEY as KNOWN_WORDS
from xdet.structures.vocabulary import Vocabulary

from .checkpoint import CheckpointError, known_words_of, meta_of, read_checkpoint, state_dict_of
from .official_weights import is_official, official_to_xdet, strip_wrappers

_SHOWN = 3
_QUERIES = 'decoder.query_feat.weight'
_STEMS = ('backbone.patch_embed.norm.weight', 'backbone.stem.norm.weight')  # FocalNet, DaViT
_CONFIGS = {  # (channels of the stem, queries) -> config
    (96, 101): 'xdecoder_focal-t',
    (192, 101): 'xdecoder_focal-l_oq101',
    (192, 201): 'xdecoder_focal-l',
    (128, 201): 'xdecoder_davit-d3',
    (256, 201): 'xdecoder_davit-d5',
}


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
        MMEngine stores it, and ``known_words`` (:class:`~xdet.structures.KnownWords`); empty for files that hold
        weights only.

    Raises:
        CheckpointError: The file cannot be read, is of another model, or does not fit; all problems are listed.
    """
    checkpoint = read_checkpoint(path_or_url)
    weights = to_xdet(state_dict_of(checkpoint, path_or_url))
    own = model.state_dict()
    if not weights.keys() & own.keys():
        some = ', '.join(list(weights)[:3])
        raise CheckpointError(f"'{path_or_url}' holds weights of another model (entries such as {some})")
    weights = _skip_unconfigured_tasks(weights, own)
    if problems := _problems(weights, own, allow_missing, allow_unexpected):
        reason = _mismatch_hint(weights, own) + '; '.join(problems)
        raise CheckpointError(f"'{path_or_url}' does not fit the model: {reason}")
    weights = {key: value for key, value in weights.items() if key in own and value.shape == own[key].shape}
    check_finite(weights, own, path_or_url)
    model.load_state_dict(weights, strict=False)
    known = known_words_of(checkpoint, path_or_url)
    return _dataset_meta(meta_of(checkpoint), path_or_url) | ({} if known is None else {KNOWN_WORDS: known})


def check_finite(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str | os.PathLike) -> None:
    """Refuse weights of a training that diverged.

    Args:
        weights (Mapping[str, Tensor]): What was read.
        own (Mapping[str, Tensor]): State of the model; entries that are not finite in it, such as masks, need not be so
            in ``weights``.
        name (str | PathLike): Of the file, for the message.

    Raises:
        CheckpointError: There are values that are not finite.
    """
    wrong = [
        key
        for key, value in weights.items()
        if isinstance(value, Tensor)
        and value.is_floating_point()
        and not value.float().isfinite().all()
        and (key not in own or own[key].float().isfinite().all())
    ]
    if wrong:
        raise CheckpointError(
            f"'{name}' has values that are not finite (NaN or infinite) in {len(wrong)} of {len(weights)} parameters, "
            f'such as {wrong[0]}; the training that wrote it diverged, or the file was made wrongly'
        )


def to_xdet(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in our layout, whichever of the two layouts they come in; unknown entries keep their names."""
    if is_official(state_dict):
        return official_to_xdet(state_dict, strict=False)
    return strip_wrappers(state_dict)


def _dataset_meta(meta: Any, name: str | os.PathLike) -> dict[str, Any]:
    """What a checkpoint says of its data; entries that cannot be meant are left out, with a warning."""
    found = (meta.get('dataset_meta') or {}) if isinstance(meta, Mapping) else {}
    if meta is not None and not (isinstance(meta, Mapping) and isinstance(found, Mapping)):
        print_log(
            f"'{name}': its meta information is not readable and left out", logger='current', level=logging.WARNING
        )
        return {}
    checks = dict(vocabulary=lambda value: isinstance(value, Vocabulary), classes=_are_names)
    wrong = [key for key, check in checks.items() if found.get(key) is not None and not check(found[key])]
    if wrong:
        message = f"'{name}': its {' and '.join(wrong)} are of another type and left out"
        print_log(message, logger='current', level=logging.WARNING)
    return {key: value for key, value in found.items() if key not in wrong}


def _are_names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def _skip_unconfigured_tasks(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without those of tasks of which the model has no parameters."""
    configured = {_task(key) for key in own}
    skipped = sorted({task for key in weights if (task := _task(key)) not in configured and task is not None})
    if skipped:
        message = f'left out the weights of tasks that have no parameters in this model: {", ".join(skipped)}'
        print_log(message, logger='current')
    return {key: value for key, value in weights.items() if _task(key) not in skipped}


def _task(key: str) -> str | None:
    """Task that owns a parameter."""
    parts = key.split('.')
    return parts[1] if parts[0] == 'tasks' else None


def _problems(
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    allow_missing: Sequence[str],
    allow_unexpected: Sequence[str],
) -> list[str]:
    """What does not fit and is not allowed to, in words."""
    both = [(key, weights[key], own[key]) for key in weights if key in own]
    told = (
        ('lacks', [key for key in own if key not in weights and not _matches(key, allow_missing)]),
        ('has unknown', [key for key in weights if key not in own and not _matches(key, allow_unexpected)]),
        (
            'has wrong shapes for',
            [
                f'{key} {tuple(given.shape)} in the file, {tuple(wanted.shape)} in it'
                for key, given, wanted in both
                if given.shape != wanted.shape and not _matches(key, allow_missing)
            ],
        ),
        (
            'has wrong types for',
            [
                f'{key} {given.dtype} in the file, {wanted.dtype} in it'
                for key, given, wanted in both
                if given.is_floating_point() != wanted.is_floating_point()
            ],
        ),
    )
    return [_listed(what, items) for what, items in told if items]


def _mismatch_hint(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What to do when the file belongs to another size of the model or another number of queries."""
    hint = ''
    if any('.lora_A.' in key for key in weights) and not any('.lora_A.' in key for key in own):
        hint += 'it has LoRA adapters; merge them with tools/model_converters/merge_lora.py; '
    queries = [_length(state[_QUERIES]) for state in (weights, own) if _QUERIES in state]
    if len(set(queries)) == 2:
        hint += f'it has {queries[0]} queries, the model {queries[1]}'
        if all(weights[key].shape == own[key].shape for key in _STEMS if key in weights and key in own):
            hint += (
                f': write model = dict(decoder=dict(num_queries={queries[0]})) into the config, or add --cfg-options '
                f'model.decoder.num_queries={queries[0]}'
            )
        hint += '; '
    sizes = [tuple(_length(state[key]) for key in (*_STEMS, _QUERIES) if key in state) for state in (weights, own)]
    if sizes[0] != sizes[1] and sizes[0] in _CONFIGS:
        hint += f"the config '{_CONFIGS[sizes[0]]}' fits it; "
    return hint


def _length(value: Tensor) -> int:
    return value.shape[0] if value.ndim else 0


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _listed(what: str, items: Sequence[str]) -> str:
    more = f', and {len(items) - _SHOWN} more' if len(items) > _SHOWN else ''
    return f'it {what} {len(items)}: {", ".join(items[:_SHOWN])}{more}'
