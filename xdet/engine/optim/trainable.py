"""Which parameters of a model are trained (docs/finetune.md).

The runner calls :func:`select_trainable` right after it has built the model: before the model is wrapped for several
processes, so that the wrapper does not wait for gradients that never come, and before the optimizer is built, which
takes the trainable parameters only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from mmengine.logging import print_log
from torch import nn


def select_trainable(
    model: nn.Module, trainable: Sequence[str] = ('*',), frozen: Sequence[str] = (), always: Iterable[str] = ()
) -> list[str]:
    """Freeze everything but what is named, and log what is left.

    A parameter is trained if one of ``trainable`` and none of ``frozen`` fits it. A pattern is a shell pattern for
    whole parameter names, in which ``*`` stands for any characters including dots, or the path of a module or of a
    parameter: ``'decoder.mask_embed'`` means the same as ``'decoder.mask_embed.*'``.

    Args:
        model (nn.Module): The model, changed in place.
        trainable (Sequence[str]): What to train.
        frozen (Sequence[str]): What of it not to train.
        always (Iterable[str]): Names that are trained whatever the patterns say (adapters).

    Returns:
        list[str]: Names of the trained parameters.

    Raises:
        ValueError: A pattern fits no parameter, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    always = set(always)
    chosen = _matching(names, trainable, 'trainable') - _matching(names, frozen, 'frozen') | always
    if not chosen:
        raise ValueError(f'nothing is left to train: trainable={tuple(trainable)}, frozen={tuple(frozen)}')
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    print_log(summary(model), logger='current')
    return [name for name in names if name in chosen]


def summary(model: nn.Module) -> str:
    """One line such as ``trains 0.07 of 4.91 M parameters (1.3 %): decoder.class_embed, decoder.mask_embed``."""
    sizes = {name: (parameter.numel(), parameter.requires_grad) for name, parameter in model.named_parameters()}
    total = sum(size for size, _ in sizes.values())
    trained = sum(size for size, trains in sizes.values() if trains)
    return (
        f'trains {trained / 1e6:.3g} of {total / 1e6:.3g} M parameters ({trained / total:.2%}): '
        f'{", ".join(trained_parts(model))}'
    )


def trained_parts(model: nn.Module, shown: int = 8) -> list[str]:
    """Paths of the largest parts that are trained as a whole; ``*`` stands for the numbers of layers if they are many.

    Beyond ``shown`` paths only how many more there are.
    """
    parts = list(_trained_parts(model, ''))
    if len(parts) > shown:
        parts = list(dict.fromkeys(re.sub(r'\.\d+(?=\.|$)', '.*', part) for part in parts))
    return parts if len(parts) <= shown else [*parts[:shown], f'and {len(parts) - shown} more']


def _trained_parts(module: nn.Module, path: str) -> Iterator[str]:
    parameters = list(module.parameters())
    if parameters and all(parameter.requires_grad for parameter in parameters):
        yield path or 'everything'
        return
    prefix = f'{path}.' if path else ''
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.requires_grad:
            yield prefix + name
    for name, child in module.named_children():
        yield from _trained_parts(child, prefix + name)


def _matching(names: Sequence[str], patterns: Sequence[str], option: str) -> set[str]:
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
        example = patterns if isinstance(patterns, str) else 'decoder'
        raise ValueError(f'{option} is {patterns!r}; it must be a list of patterns, such as {option}=[{example!r}]')
    found = set()
    for pattern in patterns:
        fitting = [name for name in names if fnmatchcase(name, pattern) or name.startswith(f'{pattern}.')]
        if not fitting:
            raise ValueError(f"{option}: '{pattern}' fits no parameter; there are {_near(pattern, names)}")
        found.update(fitting)
    return found


def _near(pattern: str, names: Sequence[str], shown: int = 12) -> str:
    """Paths that could have been meant: one level below the part of the pattern that exists."""
    parts = pattern.split('.')
    while parts and not any(name.startswith(f'{".".join(parts)}.') for name in names):
        parts.pop()
    inside = f'{".".join(parts)}.' if parts else ''
    depth = len(parts) + 1
    paths = list(dict.fromkeys('.'.join(name.split('.')[:depth]) for name in names if name.startswith(inside)))
    return ', '.join(paths[:shown]) + (', ...' if len(paths) > shown else '')
