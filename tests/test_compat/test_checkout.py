"""Scoped config names work in a checkout, where the package has no `.mim` folder."""

from __future__ import annotations

import os.path as osp
from pathlib import Path
from types import ModuleType

import pytest
from mmengine.config import Config
from mmengine.hub import get_config

from xdet.compat.checkout import find_configs_in_checkout

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / 'xdet').mkdir()
    (tmp_path / 'model-index.yml').touch()
    return tmp_path / 'xdet'


@pytest.fixture
def module() -> ModuleType:
    module = ModuleType('some_module')
    module.osp = osp
    return module


def test_paths_into_the_missing_folder_lead_to_the_repository(package: Path, module: ModuleType) -> None:
    assert find_configs_in_checkout(package, (module,))
    assert module.osp.join(str(package), '.mim', 'configs', 'a.py') == str(package.parent / 'configs' / 'a.py')
    for parts in ((str(package), 'configs'), ('/other/package', '.mim', 'configs'), ('a',)):
        assert module.osp.join(*parts) == osp.join(*parts)
    assert module.osp.dirname('/a/b') == '/a'


def test_wheels_are_left_alone(package: Path, module: ModuleType) -> None:
    (package / '.mim').mkdir()
    assert not find_configs_in_checkout(package, (module,))
    assert module.osp is osp


def test_package_without_a_repository_is_left_alone(package: Path, module: ModuleType) -> None:
    (package.parent / 'model-index.yml').unlink()
    assert not find_configs_in_checkout(package, (module,))
    assert module.osp is osp


def test_scoped_names(tmp_path: Path) -> None:
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'xdet::xdecoder/xdecoder_focal-l.py'\nmodel = dict(decoder=dict(num_queries=7))\n")
    cfg = Config.fromfile(str(path))
    assert cfg.model.decoder.num_queries == 7 and cfg.model.backbone.embed_dims == 192
    assert get_config('xdet::xdecoder/xdecoder_focal-t.py', pretrained=True).model_path.startswith('https://')
