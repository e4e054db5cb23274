"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from mmengine.registry import init_default_scope
from parity.weights import filler_state, golden_state, official_keys

import xdet  # noqa: F401

pytest_plugins = ['tiny.coco', 'tiny.model']

State = dict[str, torch.Tensor]


@pytest.fixture(scope='session', autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's caches and settings is read, and processes that share the tests share no folder there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('HOME', str(tmp_path_factory.mktemp('home')))
        for name in ('XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'TORCH_HOME', 'HF_HOME'):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _default_scope() -> None:
    """Configs of xdet name its components without the scope."""
    init_default_scope('xdet')


@pytest.fixture(scope='session')
def focal_t_state() -> Callable[..., State]:
    """Pseudo-weights of Focal-T in the official layout: ``focal_t_state(rule, *prefixes)``.

    ``rule`` is ``'golden'`` or ``'filler'``; prefixes of official names restrict what is made.
    """

    def state(rule: str, *prefixes: str) -> State:
        keys = {key: shape for key, shape in official_keys('focal-t').items() if key.startswith(prefixes or '')}
        return dict(golden=golden_state, filler=filler_state)[rule](keys)

    return state
