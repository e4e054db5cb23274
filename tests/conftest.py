"""Fixtures shared by all tests."""

from __future__ import annotations

import ast
import functools
import gc
from collections.abc import Callable, Iterator

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.utils.dl_utils import collect_env
from mmengine.visualization import Visualizer
from parity.weights import filler_state, golden_state, official_keys
from tiny.ranks import stay_forkable

import xdet  # noqa: F401
from xdet.visualization import XDetLocalVisualizer

pytest_plugins = ['tiny.annotated', 'tiny.browser', 'tiny.coco', 'tiny.exported', 'tiny.model']

State = dict[str, torch.Tensor]

stay_forkable()


@pytest.fixture(scope='session', autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's caches and settings is read, and processes that share the tests share no folder there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('HOME', str(tmp_path_factory.mktemp('home')))
        for name in ('XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'TORCH_HOME', 'HF_HOME'):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope='session', autouse=True)
def _lean_runners() -> Iterator[None]:
    """Without what MMEngine does for every runner and every config, and what is most of the time of a tiny training:
    a beautiful layout of the config's text for each file and checkpoint, and asking the machine for its compilers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (ast.unparse(ast.parse(text)), True))
        patch.setattr('mmengine.runner.runner.collect_env', functools.cache(collect_env))
        yield


@pytest.fixture(autouse=True)
def _own_visualizers() -> Iterator[None]:
    """MMEngine would give the next runner this test's visualizer, which writes into a folder that is gone."""
    yield
    for kind in (Visualizer, XDetLocalVisualizer):
        kind._instance_dict.clear()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the exported model come first: so one process exports it, and none waits until it is done."""
    items.sort(key=lambda item: 'exported' not in getattr(item, 'fixturenames', ()))


def pytest_configure() -> None:
    gc.disable()  # until all test modules are imported


def pytest_collection_finish() -> None:
    """Every data set of MMEngine collects garbage; what all test modules imported need not be searched each time."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure() -> None:
    gc.unfreeze()  # what is left at the end is told by some libraries as a leak


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
