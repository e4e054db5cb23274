"""Arguments in a config, compared with the signatures of what takes them.

Most classes store what they are given and stumble over it later, or take any text for true: ``pin_memory='x'`` pins,
and a misspelt argument of gradient clipping ends a training after its first forward pass. Signatures say what is
accepted, so there is no list of options here that could fall behind.
"""

from __future__ import annotations

import difflib
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

import xdet.registry
from xdet.io.schema import shown

_WORDS = {
    bool: 'True or False',
    int: 'a whole number',
    float: 'a number',
    str: 'a text',
    dict: 'a dict',
    list: 'a list',
}
# MMEngine takes these out of a dict before it builds something of the rest.
_OF_BUILDERS = ('type', '_scope_', 'priority', 'constructor', 'paramwise_cfg', 'convert_to_iter_based')
_OF_LOADERS = ('dataset', 'batch_sampler', 'num_batch_per_epoch')


def check_signatures(cfg: Config) -> None:
    """Refuse arguments that nothing takes, and values of another kind than their argument has.

    Kinds are compared for truth values, numbers and texts, also where only a dict or a list is accepted; None means the
    default and is not looked at.

    Args:
        cfg (Config): The config of a run. Classes are looked up in the registries, nothing is built.

    Raises:
        ValueError: It names the key and what is accepted.
    """
    from mmengine.runner import Runner  # slow to import

    hints, _ = _arguments(Runner.__init__)
    hints.pop('log_level')  # also a number, see `check_values`
    _check_kinds('', cfg, hints)
    classes = _classes()
    for path, part in _dicts(cfg):
        taker = _taker(path, part, classes)
        if taker is None:
            continue
        hints, open_ended = _arguments(taker)
        if not open_ended:
            _check_names(path, part, hints, taker.__name__)
        _check_kinds(f'{path}.', part, hints)


def _classes() -> dict[str, Any]:
    """Registered classes by name; None for a name that means several."""
    found: dict[str, Any] = {}
    for registry in vars(xdet.registry).values():
        here: Registry | None = registry if isinstance(registry, Registry) and registry.scope == 'xdet' else None
        own: dict[str, Any] = {}  # a name of ours hides the one of MMEngine
        while here is not None:
            here.import_from_location()
            own = {**here.module_dict, **own}
            here = here.parent
        for name, taker in own.items():
            found[name] = taker if inspect.isclass(taker) and found.get(name, taker) is taker else None
    return found


def _taker(path: str, part: Mapping, classes: Mapping[str, Any]) -> Any:
    """The class or function that a dict of a config has the arguments of; None if that is not known."""
    from mmengine.runner import Runner
    from torch.nn.utils import clip_grad_norm_, clip_grad_value_
    from torch.utils.data import DataLoader

    if path == 'randomness':
        return Runner.set_randomness
    if path == 'optim_wrapper.clip_grad':
        return clip_grad_value_ if part.get('type') == 'value' else clip_grad_norm_
    if path.split('.')[0].endswith('_dataloader') and path.count('.') < 2 and 'dataset' in part and 'type' not in part:
        return DataLoader
    kind = part.get('type')
    return classes.get(kind) if isinstance(kind, str) else kind if inspect.isclass(kind) else None


def _arguments(taker: Any) -> tuple[dict[str, Any], bool]:
    """Annotations by argument, also of base classes that get what is left over; and whether any name is taken."""
    found: dict[str, Any] = {}
    for part in taker.__mro__ if inspect.isclass(taker) else (taker,):
        function = vars(part).get('__init__') if inspect.isclass(part) else part
        if not inspect.isfunction(function):
            continue
        parameters = inspect.signature(function).parameters.values()
        for one in parameters:
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
                hint = bool if one.annotation is one.empty and isinstance(one.default, bool) else one.annotation
                found.setdefault(one.name, _evaluated(hint, function))
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            return found, False
    return found, True


def _evaluated(hint: Any, function: Any) -> Any:
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, vars(sys.modules[function.__module__]))
    except Exception:  # names that are there for type checkers only
        return Any


def _check_names(path: str, part: Mapping, known: Mapping[str, Any], taker: str) -> None:
    for name in part:
        if name not in known and name not in _OF_BUILDERS and not (taker == 'DataLoader' and name in _OF_LOADERS):
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            raise ValueError(f"config key '{path}.{name}' is read by nothing: {taker} has no such argument{hint}")


def _check_kinds(path: str, part: Mapping, hints: Mapping[str, Any]) -> None:
    for name, value in part.items():
        kinds = _plain_kinds(hints.get(name, Any))
        if kinds and isinstance(value, (str, numbers.Real)) and not any(_fits(value, kind) for kind in kinds):
            accepted = ' or '.join(_WORDS[kind] for kind in kinds)
            raise ValueError(f"config key '{path}{name}' is {shown(value)}; accepted is {accepted}")


def _plain_kinds(hint: Any) -> list[type]:
    """Which of the plain kinds an annotation accepts; none if it accepts anything else in a word or a number."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    found = []
    for option in options:
        origin = typing.get_origin(option) or option
        if option is Path:
            found.append(str)
        elif origin in _WORDS:
            found.append(origin)
        elif not (origin is type(None) or inspect.isclass(origin) and issubclass(origin, Iterable)):
            return []
    return list(dict.fromkeys(found))


def _fits(value: Any, kind: type) -> bool:
    """Whether a text or a number is of a kind; shares of a training may stand where it counts iterations."""
    if kind is bool:
        return isinstance(value, (bool, int)) and value in (0, 1)
    if kind in (dict, list):
        return False
    return isinstance(value, str) if kind is str else isinstance(value, numbers.Real)


def _dicts(node: Any, path: str = '') -> Iterator[tuple[str, Mapping]]:
    """Dicts of a config, by the key that leads to each."""
    if isinstance(node, Mapping) and path:
        yield path, node
    entries: Any = node.items() if isinstance(node, (Mapping, Config)) else ()
    if isinstance(node, (list, tuple)):
        entries = enumerate(node)
    for key, value in entries:
        yield from _dicts(value, f'{path}.{key}' if path else str(key))
