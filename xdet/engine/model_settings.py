"""Other settings for a model that has its weights already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from xdet.registry import MODELS, TASKS


def change_settings(model: nn.Module, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Give a built model the settings of another config of the same weights.

    Tasks (thresholds, ways of search) and the data preprocessor (padding) are built anew where their configs differ and
    get the weights of their predecessors; the rest of the model, and the texts it remembers, stay.

    Args:
        model (nn.Module): An :class:`~xdet.models.XDecoder` without distributed wrapper, changed in place.
        old (Mapping[str, Any]): Config it was built from.
        new (Mapping[str, Any]): Config it shall behave as.

    Raises:
        ValueError: The configs differ in more than settings.
    """
    strange = [key for key in {*old, *new} - {'tasks', 'data_preprocessor'} if old.get(key) != new.get(key)]
    if strange or set(old['tasks']) != set(new['tasks']):
        raise ValueError(
            f'a protocol changes {", ".join(sorted(strange)) or "the set of tasks"} of the model, which needs one of '
            'its own; settings of tasks and of data_preprocessor may differ between benchmarks of one run'
        )
    device = next(model.parameters()).device
    for name, settings in new['tasks'].items():
        if settings != old['tasks'][name]:
            model.tasks[name] = _successor(model.tasks[name], TASKS.build(dict(settings))).to(device)
    if new.get('data_preprocessor') != old.get('data_preprocessor'):
        model.data_preprocessor = MODELS.build(dict(new['data_preprocessor'])).to(device)


@torch.no_grad()
def _successor(module: nn.Module, successor: nn.Module) -> nn.Module:
    successor.load_state_dict(module.state_dict())
    return successor.train(module.training)
