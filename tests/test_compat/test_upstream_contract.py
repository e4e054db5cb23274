"""What xdet expects of names that other projects keep private, or that it changes in them: all of them, by name.

A new release that breaks one of these fails here, with the name, and not somewhere in a training. The private names in
use are found by reading xdet, so that none can be missing in the table.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import os.path
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import mmengine
import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import RandomFlip, ResizeShortestEdge
from mmengine.config import Config, DictAction
from mmengine.config import utils as config_utils
from mmengine.dataset import BaseDataset
from mmengine.evaluator import metric
from mmengine.hooks import CheckpointHook
from mmengine.hub import hub
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import Runner, checkpoint, loops, runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.utils.data import DataLoader

import xdet

STANDARD = {'argparse', 'logging', 'multiprocessing'}
UPSTREAM = {'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'torch', 'torchvision', 'open_clip', 'timm', *STANDARD}
# Made by metaclasses for every class.
AUTOMATIC = {'_abc_impl', '_backward_cls', '_instance_dict'}


def parameters(function: Callable) -> list[str]:
    return list(inspect.signature(function).parameters)


def sets(cls: type, name: str) -> bool:
    """Whether a class assigns an attribute of its instances."""
    return f'self.{name} = ' in inspect.getsource(cls) or f'self.{name}: ' in inspect.getsource(cls)


def calls(function: Callable, name: str) -> bool:
    return f'self.{name}(' in inspect.getsource(function)


def endless_iterator() -> None:
    iterator = loops._InfiniteDataloaderIterator(DataLoader(torch.arange(4), batch_size=2))
    assert [next(iterator).tolist() for _ in range(3)] == [[0, 1], [2, 3], [0, 1]]


def to_cpu() -> None:
    moved = metric._to_cpu([dict(a=torch.ones(1), b='text', c=(torch.zeros(1),))])
    assert moved[0]['a'].tolist() == [1] and moved[0]['b'] == 'text' and moved[0]['c'][0].tolist() == [0]


def reading_of_bases(tmp_path: Path) -> None:
    (tmp_path / 'base.py').write_text('a = 1')
    (tmp_path / 'heir.py').write_text("_base_ = './base.py'\nhere = '{{ fileBasename }}'")
    path, copy = str(tmp_path / 'heir.py'), str(tmp_path / 'copy.py')
    Config._substitute_predefined_vars(path, copy)
    assert "'heir.py'" in Path(copy).read_text()
    assert not Config._is_lazy_import(copy) and Config._get_base_files(copy) == ['./base.py']
    assert os.path.samefile(Config._get_cfg_path('./base.py', path)[0], tmp_path / 'base.py')


def output_shape() -> None:
    resize = ResizeShortestEdge(scale=50, max_size=90)
    assert tuple(resize._get_output_shape(np.zeros((100, 200, 3)), 50)) == (90, 45)


def values_of_options() -> None:
    assert DictAction._parse_iterable('[1,(2.5,a)]') == [1, (2.5, 'a')] and DictAction._parse_iterable('x') == 'x'


def norm_base() -> None:
    batch = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
    assert all(issubclass(norm, _NormBase) for norm in (*batch, nn.InstanceNorm2d))
    assert all(issubclass(norm, _BatchNorm) for norm in batch)


def argument_container() -> None:
    parser = argparse.ArgumentParser()
    assert isinstance(parser, argparse._ActionsContainer)
    assert isinstance(parser.add_argument_group('group'), argparse._ActionsContainer)


def flip_of_all() -> None:
    assert calls(RandomFlip.transform, '_flip_on_direction') and calls(RandomFlip._flip_on_direction, '_flip')
    results = dict(img=np.arange(6).reshape(1, 2, 3), img_shape=(1, 2), flip=True, flip_direction='horizontal')
    RandomFlip(prob=1.0)._flip(results)
    assert results['img'].tolist() == [[[3, 4, 5], [0, 1, 2]]]


def chosen_direction() -> None:
    assert RandomFlip(prob=1.0)._choose_direction() == 'horizontal'
    assert RandomFlip(prob=0.0)._choose_direction() is None


def method(cls: type, name: str, *names: str) -> Callable:
    """The method is there and takes these."""

    def check() -> None:
        assert parameters(getattr(cls, name)) == ['self', *names]

    return check


def attribute(cls: type, name: str) -> Callable:
    """Instances have the attribute."""

    def check() -> None:
        assert sets(cls, name) or hasattr(cls, name)

    return check


def called_by_init() -> None:
    assert parameters(DefaultOptimWrapperConstructor._validate_cfg) == ['self']
    assert calls(DefaultOptimWrapperConstructor.__init__, '_validate_cfg')


def logged_environment() -> None:
    assert parameters(Runner._log_env) == ['self', 'env_cfg']
    assert calls(Runner.__init__, '_log_env') and 'self.logger =' in inspect.getsource(Runner.__init__)


CONTRACT: dict[str, Callable] = {
    'argparse.ArgumentParser._get_values': method(argparse.ArgumentParser, '_get_values', 'action', 'arg_strings'),
    'argparse.ArgumentParser._print_message': method(argparse.ArgumentParser, '_print_message', 'message', 'file'),
    'argparse._ActionsContainer': argument_container,
    'mmcv.transforms.processing.RandomFlip._choose_direction': chosen_direction,
    'mmcv.transforms.processing.RandomFlip._flip_on_direction': flip_of_all,
    'mmdet.datasets.transforms.transforms.RandomFlip._flip': flip_of_all,
    'mmdet.datasets.transforms.transforms.ResizeShortestEdge._get_output_shape': output_shape,
    'mmengine.config.config.DictAction._parse_iterable': values_of_options,
    'mmengine.config.config.Config._get_base_files': reading_of_bases,
    'mmengine.config.config.Config._get_cfg_path': reading_of_bases,
    'mmengine.config.config.Config._is_lazy_import': reading_of_bases,
    'mmengine.config.config.Config._substitute_predefined_vars': reading_of_bases,
    'mmengine.dataset.base_dataset.BaseDataset._indices': attribute(BaseDataset, '_indices'),
    'mmengine.dataset.base_dataset.BaseDataset._metainfo': attribute(BaseDataset, '_metainfo'),
    'mmengine.evaluator.metric._to_cpu': to_cpu,
    'mmengine.hooks.checkpoint_hook.CheckpointHook._save_best_checkpoint': method(
        CheckpointHook, '_save_best_checkpoint', 'runner', 'metrics'
    ),
    'mmengine.hooks.checkpoint_hook.CheckpointHook._save_checkpoint_with_step': method(
        CheckpointHook, '_save_checkpoint_with_step', 'runner', 'step', 'meta'
    ),
    'mmengine.optim.optimizer.default_constructor.DefaultOptimWrapperConstructor._validate_cfg': called_by_init,
    'mmengine.runner.loops._InfiniteDataloaderIterator': endless_iterator,
    'mmengine.runner.runner.Runner._init_model_weights': method(Runner, '_init_model_weights'),
    'mmengine.runner.runner.Runner._load_from': attribute(Runner, '_load_from'),
    'mmengine.runner.runner.Runner._log_env': logged_environment,
    'mmengine.runner.runner.Runner._maybe_compile': method(Runner, '_maybe_compile', 'target'),
    'mmengine.runner.runner.Runner._resume': attribute(Runner, '_resume'),
    'mmengine.visualization.visualizer.Visualizer._vis_backends': attribute(Visualizer, '_vis_backends'),
    'torch.nn.modules.batchnorm._BatchNorm': norm_base,
    'torch.nn.modules.batchnorm._NormBase': norm_base,
    'torch.nn.modules.module.Module._apply': method(nn.Module, '_apply', 'fn', 'recurse'),
}


def is_private(name: str) -> bool:
    return name.startswith('_') and not name.startswith('__') and name not in AUTOMATIC


def is_upstream(name: str | None) -> bool:
    return (name or '').split('.')[0] in UPSTREAM


def modules() -> list[ModuleType]:
    imported = []
    for found in pkgutil.walk_packages(xdet.__path__, 'xdet.'):
        try:
            imported.append(importlib.import_module(found.name))
        except ImportError as error:  # of an extra that is not installed
            assert not (error.name or '').startswith('xdet'), error
    return imported


def tree_of(part: ModuleType | type) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(part)))


def used_by_module(module: ModuleType) -> Iterator[str]:
    """Private names that a module imports from others, or reads from modules and classes that it imports."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and not node.level and is_upstream(node.module):
            yield from (f'{node.module}.{alias.name}' for alias in node.names if is_private(alias.name))
        if isinstance(node, ast.Attribute) and is_private(node.attr) and isinstance(node.value, ast.Name):
            owner = getattr(module, node.value.id, None)
            if isinstance(owner, ModuleType) and is_upstream(owner.__name__):
                yield f'{owner.__name__}.{node.attr}'
            elif isinstance(owner, type) and is_upstream(owner.__module__):
                yield f'{owner.__module__}.{owner.__qualname__}.{node.attr}'


def used_by_class(cls: type) -> Iterator[str]:
    """Private names of foreign base classes that a class overrides, calls or reads."""
    foreign = [base for base in cls.__mro__ if is_upstream(base.__module__)]
    own = [base for base in cls.__mro__ if base.__module__.startswith('xdet')]
    if not foreign:
        return
    names = {name for name in vars(cls) if any(name in vars(base) for base in foreign)}
    known = {name for base in own for name in vars(base)} - names
    for base in own:
        for node in ast.walk(tree_of(base)):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                known.add(node.attr)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):  # fields of data elements
                known.add(node.value)
    for node in ast.walk(tree_of(cls)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ('self', 'super()'):
            names.add(node.attr)
    for name in filter(is_private, names - known):
        # Instance attributes are no attributes of the class: the first foreign class that assigns one has it.
        bases = [base for base in foreign if name in vars(base)] or [base for base in foreign if sets(base, name)]
        yield f'{bases[0].__module__}.{bases[0].__qualname__}.{name}' if bases else f'{cls.__qualname__}.{name}'


def test_every_private_name_in_use_is_in_the_table() -> None:
    found = {name for module in modules() for name in used_by_module(module)}
    classes = {cls for module in modules() for cls in vars(module).values() if inspect.isclass(cls)}
    found |= {name for cls in classes if cls.__module__.startswith('xdet') for name in used_by_class(cls)}
    assert sorted(found - CONTRACT.keys()) == [], 'say in CONTRACT what is expected of these'
    assert sorted(CONTRACT.keys() - found) == [], 'no longer in use'


@pytest.mark.parametrize('name', CONTRACT)
def test_private_name_is_what_we_expect(name: str, tmp_path: Path) -> None:
    check = CONTRACT[name]
    check(tmp_path) if inspect.signature(check).parameters else check()


# What `import xdet` changes in other packages: the public side of it is tested beside the module that does it.


def test_packages_of_scopes_can_be_added() -> None:
    assert config_utils.MODULE2PACKAGE['mmdet'] and config_utils.MODULE2PACKAGE['xdet'] == 'xdet'


@pytest.mark.parametrize('module', [config_utils, hub], ids=lambda module: module.__name__)
def test_modules_that_find_configs_use_os_path_by_the_name_osp(module: ModuleType) -> None:
    assert 'import os.path as osp' in inspect.getsource(module)
    assert ".join(package_path, '.mim'" in inspect.getsource(module).replace('osp', '').replace('os.path', '')


def test_loader_of_checkpoints_takes_schemes() -> None:
    schemes = checkpoint.CheckpointLoader._schemes
    for prefix in ('', 'http://', 'https://'):
        assert schemes[prefix].__module__ == 'xdet.compat.checkpoint', 'somebody took it back'
    assert parameters(checkpoint.CheckpointLoader.register_scheme)[:2] == ['prefixes', 'loader']


def test_runners_save_checkpoints_by_a_function_of_these_arguments() -> None:
    used = vars(runner)['save_checkpoint']
    assert used is checkpoint.save_checkpoint and parameters(used.__wrapped__) == parameters(used)
    assert ' save_checkpoint(\n' in inspect.getsource(Runner.save_checkpoint)


def test_mmpretrain_says_whether_it_has_transformers() -> None:
    dependency = pytest.importorskip('mmpretrain.utils.dependency')
    assert isinstance(dependency.WITH_MULTIMODAL, bool)


def test_versions_are_those_the_contract_was_written_for() -> None:
    major, minor = mmengine.__version__.split('.')[:2]
    assert (major, minor) == ('0', '10'), 'read the changes of MMEngine, then widen this'
