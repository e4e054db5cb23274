"""Every config under configs/ loads, survives a dump, builds its model, and keeps the rules of the config tree."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from xdet.cli.overrides import check_spelling
from xdet.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / 'configs').rglob('*.py'))
RUNS = [path for path in CONFIGS if not {'_base_', 'benchmarks'} & {*path.parts}]  # benchmarks: test_benchmarks
MAX_LEVELS = 3
MAX_LINES = 40


def identifiers(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT / 'configs')) for path in paths]


@pytest.fixture(autouse=True)
def default_scope() -> None:
    init_default_scope('xdet')


@functools.cache
def build_on_meta(text: str) -> nn.Module:
    """Model of a config, given as JSON, without memory for its parameters, so that the large ones take no time either.

    Backbones of other libraries read values while they are built, so those get real ones.
    """
    config = Config(json.loads(text))
    foreign = '.' in config.backbone.type or config.backbone.type == 'TimmBackbone'
    backbone = MODELS.build(config.backbone) if foreign else None
    with torch.device('meta'):
        if foreign:
            config.backbone = dict(type='FocalNet')
        model = MODELS.build(config)
    if foreign:
        model.backbone = backbone
    return model


def model_of(cfg: Config) -> nn.Module:
    """Its model on the meta device; configs that only differ in data or schedule share it, so nobody may change it."""
    return build_on_meta(json.dumps(cfg.model.to_dict(), default=list))


def grouped(cfg: Config, model: nn.Module) -> list[nn.Parameter]:
    """Parameters that the optimizer of a config would get, group after group."""
    wrapper = copy.deepcopy(cfg.optim_wrapper)
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get(wrapper.pop('constructor', 'DefaultOptimWrapperConstructor'))
    groups: list[dict] = []
    constructor(wrapper, wrapper.pop('paramwise_cfg', None)).add_params(groups, model)
    assert all(group['lr'] > 0 and group['weight_decay'] >= 0 for group in groups)
    return [parameter for group in groups for parameter in group['params']]


def levels(path: Path) -> int:
    bases = Config._get_base_files(str(path))
    return 1 + max((levels((path.parent / base).resolve()) for base in bases), default=0)


def test_there_are_configs() -> None:
    assert {'xdecoder_focal-t', 'xdecoder_focal-l', 'xdecoder_focal-l_oq101', 'xdecoder_focal-nano'} <= {
        path.stem for path in RUNS
    }


@pytest.mark.parametrize('path', CONFIGS, ids=identifiers(CONFIGS))
def test_dump_reloads_equal(path: Path, tmp_path: Path) -> None:
    cfg = Config.fromfile(str(path))
    cfg.dump(str(tmp_path / path.name))
    assert Config.fromfile(str(tmp_path / path.name)).to_dict() == cfg.to_dict()


@pytest.mark.parametrize('path', RUNS, ids=identifiers(RUNS))
def test_model_builds(path: Path) -> None:
    cfg = Config.fromfile(str(path))
    check_spelling(cfg)
    assert cfg.default_scope == 'xdet'
    model = model_of(cfg)
    width, queries = cfg.model.decoder.get('embed_dims', 512), cfg.model.decoder.num_queries
    assert model.decoder.num_queries == queries and model.decoder.query_feat.weight.shape == (queries, width)
    used = [name for adapter in model.tasks.values() for name in adapter.names]
    assert sorted(set(used)) == sorted(used), 'two tasks of one name'
    if 'optim_wrapper' in cfg:
        parameters = list(map(id, grouped(cfg, model)))
        trained = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
        assert sorted(parameters) == sorted(trained), 'each in one group'


@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('xdecoder_focal-t', 164_493_809),
        ('xdecoder_focal-l', 341_551_353),
        ('xdecoder_davit-d3', 221_978_113),
        ('xdecoder_davit-d5', 497_190_401),
    ],
)
def test_size_of_official_models(name: str, size: int) -> None:
    model = model_of(Config.fromfile(str(ROOT / 'configs' / 'xdecoder' / f'{name}.py')))
    assert sum(parameter.numel() for parameter in model.parameters()) == size


def test_size_of_the_small_model() -> None:
    model = model_of(Config.fromfile(str(ROOT / 'configs' / 'xdecoder' / 'xdecoder_focal-nano.py')))
    sizes = [parameter.numel() for name, parameter in model.named_parameters() if 'token_embedding' not in name]
    assert 4 < sum(sizes) / 1e6 < 11


def test_small_model_builds_with_values() -> None:
    model = MODELS.build(Config.fromfile(str(ROOT / 'configs' / 'xdecoder' / 'xdecoder_focal-nano.py')).model)
    model.init_weights()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_base_names_are_unique() -> None:
    """`mim train` and `mim test` look for a config by its base name and refuse to choose."""
    repeated = [name for name, count in Counter(path.name for path in CONFIGS).items() if count > 1]
    assert not repeated


@pytest.mark.parametrize('path', RUNS, ids=identifiers(RUNS))
def test_config_is_short_and_shallow(path: Path) -> None:
    assert levels(path) <= MAX_LEVELS
    assert len(path.read_text(encoding='utf-8').splitlines()) <= MAX_LINES


def processes(path: Path) -> int:
    """How many processes a config's learning rate is meant for, as its name or the command in its head says."""
    if '-nano' in path.stem or '-pico' in path.stem:
        return 1
    text = f'{path.stem} {path.read_text(encoding="utf-8")}'
    found = re.search(r'_(\d+)xb\d|dist_train\.sh \S+ (\d+)|GPUS=(\d+)', text)
    if found is None:
        [base] = Config._get_base_files(str(path))
        return processes(path.parent / base)
    return int(next(filter(None, found.groups())))


def test_learning_rates_are_those_of_the_usual_number_of_processes() -> None:
    """`--auto-scale-lr` changes nothing there."""
    for path in RUNS:
        cfg = Config.fromfile(str(path))
        loaders = cfg.get('train_dataloader')
        if loaders is None:
            continue
        sources = [loaders] if 'dataset' in loaders else [loader for loader in loaders.values() if loader]
        batch_size = sum(loader.batch_size for loader in sources)
        batch_size *= processes(path) * cfg.optim_wrapper.get('accumulative_counts', 1)
        assert batch_size == cfg.auto_scale_lr.base_batch_size, path.stem


@pytest.mark.parametrize('path', CONFIGS, ids=identifiers(CONFIGS))
def test_no_foreign_bases(path: Path) -> None:
    """Bases of other projects (`mmdet::...`) would pull their scopes in, or packages off the network."""
    assert not [base for base in Config._get_base_files(str(path)) if '::' in base]
