from __future__ import annotations

import re
from typing import Any

import pytest
from torch import nn

from xdet.engine.runner import _check_parts


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ('nose', "names 'nose', but there is no 'nose'; there are backbone, head"),
        (['head', 'head.1'], "names 'head.1', but there is no '1'; there are 0"),
        (['head.0.0'], "names 'head.0.0', but there is no '0'; there are no parts"),
        (['training'], "names 'training', but there is no 'training'; there are backbone, head"),
        (5, 'is 5; it must be a list of parts of the model'),
        ([5], 'is [5]; it must be a list of parts of the model'),
    ],
)
def test_activation_checkpointing_names_parts_of_the_model(names: Any, message: str) -> None:
    model = nn.ModuleDict(dict(backbone=nn.Linear(1, 1), head=nn.Sequential(nn.Linear(1, 1))))
    _check_parts(model, 'head.0')
    _check_parts(model, ['backbone', 'head'])
    with pytest.raises(ValueError, match=re.escape(f"config key 'activation_checkpointing' {message}")):
        _check_parts(model, names)
