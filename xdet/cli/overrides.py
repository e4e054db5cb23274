"""Changes to a config from the command line, with typing mistakes reported instead of obeyed.

MMEngine adds whatever key an option names and its runner ignores top-level names it does not know, so a misspelt option
trains the unchanged config for hours. Here an option may only reach into what the config or the runner has, and what is
read.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from mmengine.config import Config

from xdet.config_references import referenced

# Keys that MMEngine's runner or ours reads from the config without having them as arguments.
_EXTRA_KEYS = (
    'activation_checkpointing',
    'allow_missing',
    'allow_unexpected',
    'compile',
    'custom_imports',
    'deepspeed',  # not any more, which `check_combinations` says better than a suggestion of another key
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'fsdp',
    'frozen',
    'lora',
    'model_wrapper_cfg',
    'sync_bn',
    'trainable',
)


@cache
def runner_keys() -> frozenset[str]:
    """Top-level config keys that mean something to the runner; everything else is a variable of the config's own."""
    from mmengine.runner import Runner  # slow to import

    return frozenset([*inspect.signature(Runner.__init__).parameters, *_EXTRA_KEYS]) - {'self', 'cfg'}


_READ_LATER = ('inference_pipeline', 'task_pipelines')
"""Top-level config keys that nothing reads in a training, but an inferencer that is made from the config."""

# A variable this similar to a runner key is a misspelling of it; names such as `train_dataset` stay well below.
_TYPO_SIMILARITY = 0.8


def apply_overrides(cfg: Config, options: Mapping[str, Any] | None) -> None:
    """Merge ``{'model.decoder.num_queries': 201}`` into a config.

    The last part of a key may be new (an argument that the config leaves at its default); everything before it must
    exist, and so must the first part, unless the runner knows it.

    Args:
        cfg (Config): Changed in place.
        options (Mapping[str, Any], optional): Values by dotted key; a number indexes a list.

    Raises:
        ValueError: A key leads nowhere; the message suggests a similar one.
    """
    if not options:
        return
    for key, value in options.items():
        _check_key(cfg, key, value)
        _check_is_read(cfg, key, value)
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError) as error:
        raise ValueError(f'--cfg-options {" ".join(options)}: {error.args[0] if error.args else error}') from error


def check_spelling(cfg: Config) -> None:
    """Refuse configs with a top-level name that is a misspelt runner key and therefore would be ignored.

    Raises:
        ValueError: Such a name; the message says what was probably meant.
    """
    for key in cfg:
        if key in runner_keys():
            continue
        close = difflib.get_close_matches(key, runner_keys(), n=1, cutoff=_TYPO_SIMILARITY)
        if close:
            raise ValueError(f"config key '{key}' is read by nothing; did you mean '{close[0]}'?")


def _check_key(cfg: Config, full_key: str, value: Any) -> None:
    parts = full_key.split('.')
    if parts[0] not in cfg and parts[0] not in runner_keys():
        raise ValueError(_no_such_key(full_key, parts[0], 'the config', [*cfg, *runner_keys()]))
    node: Any = cfg
    for depth, part in enumerate(parts[:-1]):
        where = '.'.join(parts[:depth]) or 'the config'
        if isinstance(node, (list, tuple)):
            node = _element(node, part, full_key, where)
        elif isinstance(node, Mapping) or node is cfg:
            if part not in node:
                if depth == 0:
                    return  # a runner key that the config does not set yet
                raise ValueError(_no_such_key(full_key, part, where, list(node)))
            node = node[part]
        else:
            raise ValueError(f"--cfg-options {full_key}: '{where}' is {node!r} and has no '{part}'")
    if isinstance(node, (list, tuple)):
        where = '.'.join(parts[:-1])
        if not (isinstance(_element(node, parts[-1], full_key, where), Mapping) and isinstance(value, Mapping)):
            raise ValueError(
                f'--cfg-options {full_key}: one element of a list cannot be replaced; give all of {where}=[...]'
            )
    elif len(parts) > 1 and node is not None and not isinstance(node, Mapping):
        raise ValueError(f"--cfg-options {full_key}: '{'.'.join(parts[:-1])}' is {node!r} and has no '{parts[-1]}'")


def _check_is_read(cfg: Config, full_key: str, value: Any) -> None:
    """Refuse to change a variable of the config: what was made of it has its old value already."""
    first = full_key.split('.')[0]
    if first in runner_keys() or first in _READ_LATER or first in referenced(cfg.to_dict()):
        return
    old = cfg.get(first)
    keys = [key for key in cfg if key in runner_keys()]
    found = [path for key in keys for path in _uses(cfg[key], first, old, key)]
    named = [path for path in found if path.rsplit('.', 1)[-1] == first] or found
    hint = f'; set {" and ".join(named[:3])}' if named else ''
    raise ValueError(
        f"--cfg-options {full_key}: '{first}' is a variable of the config file, which nothing reads after that{hint}"
        + ('' if named else f'; set what is made of it, below one of {", ".join(keys)}')
    )


def _uses(node: Any, name: str, value: Any, path: str) -> Iterator[str]:
    """Keys below ``node`` that hold the value of a variable, or begin with it."""
    if type(node) is type(value) and node == value and value not in (None, '', True, False):
        yield path
    elif isinstance(node, str) and isinstance(value, str) and value and node.startswith(value):
        yield path
    elif isinstance(node, Mapping):
        for key, part in node.items():
            yield from _uses(part, name, value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for number, part in enumerate(node):
            yield from _uses(part, name, value, f'{path}.{number}')


def _element(sequence: list | tuple, part: str, full_key: str, where: str) -> Any:
    if not part.isdigit() or int(part) >= len(sequence):
        raise ValueError(
            f"--cfg-options {full_key}: '{where}' is a list of {len(sequence)}; "
            f"'{part}' must be a number from 0 to {len(sequence) - 1}"
        )
    return sequence[int(part)]


def _no_such_key(full_key: str, part: str, where: str, accepted: Iterable[str]) -> str:
    accepted = sorted(set(accepted))
    close = difflib.get_close_matches(part, accepted, n=2)
    hint = f'did you mean {" or ".join(repr(name) for name in close)}?' if close else f'it has {", ".join(accepted)}'
    return f"--cfg-options {full_key}: {where} has no '{part}'; {hint}"
