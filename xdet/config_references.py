"""References in configs, which a base makes to values that its heirs set."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

_REFERENCE = re.compile(r'\$\{(\w+)\}')
# A value this similar to one that is referred to is a misspelling of it.
_TYPO_SIMILARITY = 0.8


def fill_in(cfg: Config, built_in: Mapping[str, Any]) -> Config:
    """A config with every ``${name}`` in its strings replaced by the top-level value ``name``.

    Bases write ``data_root='${data_root}'`` where MMEngine's own ``{{_base_.data_root}}`` would be too early: the value
    is that of the finished config, after the file that inherits from the base and after ``--cfg-options``. A string
    that is nothing but a reference becomes the value, whatever its type; inside of a longer string the value must be a
    string or a number. Values may refer to others.

    Args:
        cfg (Config): Stays as it is.
        built_in (Mapping[str, Any]): Values of names that the config does not have itself.

    Raises:
        ValueError: A reference names nothing, or itself; or a name in the config is a misspelling of one that is
            referred to, so that nothing would read it.
    """
    values = cfg.to_dict()
    wanted = referenced(values)
    if not wanted:
        return cfg
    for name in values:
        close = difflib.get_close_matches(name, wanted, n=1, cutoff=_TYPO_SIMILARITY) if name not in wanted else []
        if close and not isinstance(values[name], dict):
            raise ValueError(f"config key '{name}' is read by nothing; did you mean '{close[0]}'?")
    known = {**built_in, **values}
    return Config(_filled(values, known, ()), cfg_text=cfg.text, filename=cfg.filename)


def referenced(node: Any) -> set[str]:
    """Names of all references."""
    if isinstance(node, Mapping):
        return set().union(*map(referenced, node.values()))
    if isinstance(node, (list, tuple)):
        return set().union(*map(referenced, node))
    return set(_REFERENCE.findall(node)) if isinstance(node, str) else set()


def _filled(node: Any, values: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """A copy of a part of a config without references; ``within`` are the names that led to it."""
    if isinstance(node, Mapping):
        return {key: _filled(value, values, within) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_filled(value, values, within) for value in node)
    if not isinstance(node, str):
        return copy.deepcopy(node)
    if whole := _REFERENCE.fullmatch(node):
        return _value(whole[1], values, within)
    return _REFERENCE.sub(lambda found: _as_text(node, _value(found[1], values, within)), node)


def _value(name: str, values: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    if name in within:
        raise ValueError(f"config: '${{{name}}}' refers to itself ({' -> '.join((*within, name))})")
    if name in values:
        return _filled(values[name], values, (*within, name))
    raise ValueError(f"config: '${{{name}}}' refers to a top-level value '{name}', which the config does not have")


def _as_text(text: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"config: '{text}' refers to {value!r}; inside of a string only strings and numbers can stand")
    return str(value)


def unread_values(cfg: Config) -> list[str]:
    """Names of plain top-level values that no reference names, of a config that has references at all.

    What is left of a base made of references means something to the runner, or nothing to anybody.
    """
    wanted = referenced(cfg.to_dict())
    return [
        name for name, value in cfg.items() if wanted and name not in wanted and isinstance(value, (str, int, float))
    ]


def refuse_lost_deletes(cfg: Config) -> None:
    """Refuse a run's config with ``_delete_`` where MMEngine does not read it but hands it on as an argument.

    Raises:
        ValueError: There is one; the message says where.
    """
    _refuse_below(cfg.to_dict(), '')


def _refuse_below(node: Any, where: str) -> None:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == '_delete_':
                raise ValueError(
                    f'config: {where or "the top level"} has _delete_, which nothing reads there: it belongs into a '
                    'dict that replaces one of a base, and a list replaces the list of its base anyway. Leave it out'
                )
            _refuse_below(value, f'{where}.{key}' if where else str(key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            _refuse_below(value, f'{where}[{index}]')
