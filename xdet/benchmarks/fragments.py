"""Benchmarks: config fragments that say on what data, how and by which metrics a model is tested."""

from __future__ import annotations

import copy
import difflib
import fnmatch
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from xdet.compat.quiet import quiet_imports
from xdet.inference.pipeline import inference_transforms
from xdet.io.errors import cause
from xdet.model_zoo import config_root, load_config
from xdet.registry import TASKS

PROTOCOLS = ('recommended', 'official')
"""How to test: the best way we know, and the way the published numbers were made."""

SPLIT = '{split}'
"""What fragments for users' own data say in their paths."""

NAME, TITLE = '{name}', '{title}'
"""What names and titles of ``variants`` may say for the fragment's own."""

MODEL_RESIZE = 'ModelResize'
"""Step ``dict(type='ModelResize', task='semantic')`` of a fragment's pipeline: resize as the model's config does for
that task when it is used, see :func:`~xdet.inference.pipeline.inference_transforms`."""

_FRAGMENT_KEYS = ('data_root', 'test_dataloader', 'test_evaluator', 'benchmark', 'protocols')
_FACTS = ('title', 'split', 'headline')
_CHANGEABLE = ('model', 'test_dataloader', 'test_evaluator', 'test_cfg')
_TRAINING_KEYS = (
    *(f'{phase}_{part}' for phase in ('train', 'val') for part in ('dataloader', 'cfg', 'evaluator')),
    *('optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'load_from', 'resume'),
)


@dataclass(frozen=True)
class Benchmark:
    """A data set, a split and metrics.

    Attributes:
        name (str): Name of the fragment's file or of one of its variants, with split and name of the data folder where
            they were given.
        path (Path): The fragment.
        cfg (Config): Its content.
        data_root (str): Folder of the data, ending in ``/``.
        split (str): Split of the data set.
    """

    name: str
    path: Path
    cfg: Config
    data_root: str
    split: str

    @property
    def facts(self) -> Mapping[str, Any]:
        """Description: ``title``, ``split``, ``headline`` (names of the most important values), and maybe
        ``num_samples`` (of the whole split), ``notes``, ``reference`` (where published numbers stand), ``layout`` (of
        the folder), ``family`` (benchmarks to average over) and ``own_data`` (a fragment for users' data)."""
        return self.cfg.benchmark

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the model is asked for."""
        return _tasks_of(self.cfg.test_dataloader)

    def why(self, protocol: str) -> str:
        """Reason for a protocol's settings."""
        return self.cfg.protocols.get(protocol, {}).get('why', '')


def benchmark_root() -> Path:
    """Folder of the shipped fragments, in a checkout as well as in an installed wheel."""
    return config_root() / 'benchmarks'


def list_benchmarks(pattern: str = '*') -> list[str]:
    """Names of the shipped benchmarks that match a shell pattern such as ``'seginw-*'``, sorted."""
    return sorted(name for name in _shipped() if fnmatch.fnmatch(name, pattern))


def expand_benchmarks(names: Sequence[str]) -> list[str]:
    """Replace patterns such as ``'refcoco*'`` by the names they match, and drop repetitions.

    Raises:
        ValueError: A pattern matches nothing.
    """
    expanded: dict[str, None] = {}
    for name in names:
        is_pattern = any(sign in name for sign in '*?[') and '@' not in name and not Path(name).exists()
        matches = list_benchmarks(name) if is_pattern else [name]
        if not matches:
            raise ValueError(f"no benchmark matches '{name}'; benchmarks: {', '.join(list_benchmarks())}")
        expanded.update(dict.fromkeys(matches))
    return list(expanded)


def load_benchmark(name: str | Path, data_root: str | Path | None = None) -> Benchmark:
    """Read a benchmark.

    Args:
        name (str | Path): Name of a shipped one (``'ade20k-150'``), which is a fragment or a variant of one, or path of
            a fragment. ``NAME@FOLDER`` says where the data lie, so that one fragment for users' own data serves any
            number of folders; ``NAME:SPLIT`` and ``NAME:SPLIT@FOLDER`` name a split, for fragments that say
            ``{split}`` in their paths.
        data_root (str | Path, optional): Folder of the data, in place of the fragment's.

    Raises:
        FileNotFoundError: No such fragment; close names are suggested.
        ValueError: It cannot be read, is no benchmark, or has only one split.
    """
    name, _, folder = str(name).partition('@')
    name, split = (name, '') if Path(name).is_file() else name.partition(':')[::2]
    path = _find(name)
    name = path.stem if Path(name).is_file() else name
    cfg = _load(path, name)
    _check(path, cfg)
    if split and not _mentions(_plain(cfg.test_dataloader), SPLIT):
        raise ValueError(f"benchmark {name} has only the split '{cfg.benchmark.split}', not '{split}'")
    root = data_root if data_root is not None else folder or cfg.data_root
    label = name + (f':{split}' if split else '') + (f'@{Path(folder).name}' if folder else '')
    return Benchmark(label, path, cfg, as_folder(root), split or cfg.benchmark.split)


def as_folder(path: str | Path) -> str:
    """``path`` with one ``/`` at its end and the home directory in place of ``~``."""
    text = str(path) if '://' in str(path) else Path(path).expanduser().as_posix()
    return f'{text.rstrip("/")}/'


def apply_benchmark(
    cfg: Config,
    benchmark: Benchmark | str | Path,
    protocol: str = 'recommended',
    data_root: str | Path | None = None,
) -> Config:
    """Config that tests a model on a benchmark.

    What the model's config says about training, validation and testing is dropped. Strings of the benchmark's loader
    and metrics that begin with its ``data_root`` follow when another is given. A protocol is merged over the config as
    a config over its base: dicts are merged, lists replaced; keys may have dots and positions in lists, such as
    ``'dataset.pipeline.1.scale'``.

    Args:
        cfg (Config): With ``model``; not changed.
        benchmark (Benchmark | str | Path): See :func:`load_benchmark`.
        protocol (str): One of :data:`PROTOCOLS`.
        data_root (str | Path, optional): Folder of the data.

    Raises:
        FileNotFoundError, ValueError: See :func:`load_benchmark`; or the protocol is unknown, or the model has not the
            tasks of the benchmark.
    """
    if not isinstance(benchmark, Benchmark):
        benchmark = load_benchmark(benchmark, data_root)
    elif data_root is not None:
        benchmark = replace(benchmark, data_root=as_folder(data_root))
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol '{protocol}' is unknown; accepted are {', '.join(PROTOCOLS)}")
    content = {key: value for key, value in cfg.to_dict().items() if key not in _TRAINING_KEYS}
    for key in ('test_dataloader', 'test_evaluator'):
        content[key] = _plain(benchmark.cfg[key])
    content['test_cfg'] = _plain(benchmark.cfg.get('test_cfg') or dict(type='TestLoop'))
    _check_tasks(benchmark, content)
    merged = Config(content)
    changes = _nested({key: value for key, value in benchmark.cfg.protocols.get(protocol, {}).items() if key != 'why'})
    _check_changes(benchmark, protocol, merged, changes)
    try:
        merged.merge_from_dict(changes)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"protocol '{protocol}' of {benchmark.path} does not fit the config: {cause(error)}"
        ) from error
    for key in ('test_dataloader', 'test_evaluator'):
        merged[key] = _located(_fill_sizes(_plain(merged[key]), cfg), benchmark)
    return merged


def missing_tasks(cfg: Config | Mapping, tasks: Sequence[str]) -> list[str]:
    """Those of ``tasks`` that no task adapter of ``cfg.model`` serves."""
    with quiet_imports():
        TASKS.import_from_location()
    served = {name for task in cfg['model']['tasks'].values() for name in TASKS.get(task['type']).names}
    return [name for name in tasks if name not in served]


def _shipped() -> dict[str, Path]:
    """Fragment of every shipped benchmark."""
    root = benchmark_root()
    paths = (path for path in sorted(root.rglob('*.py')) if '_base_' not in path.relative_to(root).parts)
    return {name: path for path in paths for name in _names_in(path, path.stat().st_mtime_ns)}


@functools.cache
def _names_in(path: Path, modified: int) -> tuple[str, ...]:
    """Names of the benchmarks that a fragment describes; read again when it was modified."""
    return tuple(_variants(path, load_config(path)))


def _variants(path: Path, cfg: Config) -> dict[str, Mapping | None]:
    """What a fragment's benchmarks change in it: nothing if it is one itself, then each of its ``variants``.

    Raises:
        ValueError: Some are no dict.
    """
    title = cfg.get('benchmark', {}).get('title')
    variants = cfg.get('variants', {})
    own: dict[str, Mapping | None] = {path.stem: None} if title is not None or not variants else {}
    strange = [name for name, changes in variants.items() if not isinstance(changes, Mapping)]
    if strange:
        raise ValueError(f"{path}: variant '{strange[0]}' is no dict of changes")
    return {**own, **{name.replace(NAME, path.stem): changes for name, changes in variants.items()}}


def _load(path: Path, name: str) -> Config:
    """Content of a benchmark: its fragment's, with the changes of a variant merged over it."""
    cfg = load_config(path)
    variants = _variants(path, cfg)
    if name not in variants:
        raise ValueError(f'{path}: holds several benchmarks; name one of them: {", ".join(variants)}')
    title = cfg.get('benchmark', {}).get('title', '')
    cfg.pop('variants', None)
    if variants[name] is not None:
        cfg.merge_from_dict(_plain(variants[name]))
        cfg.benchmark.title = cfg.benchmark.title.replace(TITLE, title)
    return cfg


def _find(name: str) -> Path:
    path = Path(name).expanduser()
    if path.suffix == '.py' and path.is_file():
        return path
    shipped = _shipped()
    if name in shipped:
        return shipped[name]
    close = difflib.get_close_matches(name, shipped, n=3, cutoff=0.4)
    hint = f'did you mean {" or ".join(close)}?' if close else f'benchmarks: {", ".join(sorted(shipped))}'
    raise FileNotFoundError(f"benchmark '{name}' is neither a fragment file nor a shipped benchmark; {hint}")


def _check(path: Path, cfg: Config) -> None:
    absent = [key for key in _FRAGMENT_KEYS if key not in cfg]
    absent += [f'benchmark.{key}' for key in _FACTS if key not in cfg.get('benchmark', {})]
    if absent:
        raise ValueError(f'{path}: not a benchmark, it has no {", ".join(absent)}')
    if not str(cfg.data_root).endswith('/'):
        raise ValueError(f"{path}: data_root '{cfg.data_root}' must end in /")
    unknown = [name for name in cfg.protocols if name not in PROTOCOLS]
    if unknown:
        raise ValueError(f"{path}: protocol '{unknown[0]}' is unknown; accepted are {', '.join(PROTOCOLS)}")
    for name, changes in cfg.protocols.items():
        strange = [key for key in changes if key != 'why' and key.split('.')[0] not in _CHANGEABLE]
        if strange:
            raise ValueError(
                f"{path}: protocol '{name}' changes '{strange[0]}'; it may change {', '.join(_CHANGEABLE)}"
            )


def _check_tasks(benchmark: Benchmark, content: Mapping) -> None:
    if 'model' not in content:
        raise ValueError("the config has no 'model'; it does not describe a model")
    absent = missing_tasks(content, benchmark.tasks)
    if absent:
        raise ValueError(
            f'benchmark {benchmark.name} needs {", ".join(absent)}, which this model has no task for; '
            f'its tasks are {", ".join(content["model"]["tasks"])}'
        )


def _check_changes(benchmark: Benchmark, protocol: str, cfg: Config, changes: Mapping) -> None:
    """Refuse a protocol that would set up a task the model does not have."""
    own = cfg.model.tasks
    for name in changes.get('model', {}).get('tasks', {}):
        if name not in own:
            raise ValueError(
                f"protocol '{protocol}' of {benchmark.path} changes task '{name}'; the model's are {', '.join(own)}"
            )


def _tasks_of(dataloader: Mapping) -> tuple[str, ...]:
    dataset = dataloader['dataset']
    while 'dataset' in dataset:  # wrappers
        dataset = dataset['dataset']
    steps = [step for step in dataset.get('pipeline', ()) if step['type'].endswith('PackXDetInputs')]
    return tuple(steps[-1].get('tasks') or ()) if steps else ()


def _fill_sizes(node: Any, cfg: Config) -> Any:
    """``node`` with the model's own way to resize in place of every step :data:`MODEL_RESIZE` of a pipeline."""
    if isinstance(node, dict):
        return {key: _fill_sizes(value, cfg) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    filled: list[Any] = []
    for step in node:
        if isinstance(step, dict) and step.get('type') == MODEL_RESIZE:
            own = cfg.get('task_pipelines', {}).get(step.get('task')) or inference_transforms(cfg)
            filled += [_plain(transform) for transform in own if 'Resize' in str(transform['type'])]
        else:
            filled.append(_fill_sizes(step, cfg))
    return filled


def _nested(changes: Any) -> Any:
    """``changes`` with dicts in place of keys with dots."""
    if not isinstance(changes, Mapping):
        return changes
    nested: dict[str, Any] = {}
    for key, value in changes.items():
        first, _, rest = key.partition('.')
        value = _nested({rest: value} if rest else value)
        both = isinstance(value, Mapping) and isinstance(nested.get(first), Mapping)
        nested[first] = {**nested[first], **value} if both else value
    return nested


def _located(node: Any, benchmark: Benchmark) -> Any:
    """``node`` with every string that begins with the fragment's data folder pointing into the actual one."""
    if isinstance(node, dict):
        return {key: _located(value, benchmark) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_located(value, benchmark) for value in node)
    if not isinstance(node, str):
        return node
    old = benchmark.cfg.data_root
    moved = benchmark.data_root + node[len(old) :] if node.startswith(old) or node == old.rstrip('/') else node
    return moved.replace(SPLIT, benchmark.split)


def _mentions(node: Any, text: str) -> bool:
    if isinstance(node, dict):
        return any(_mentions(value, text) for value in node.values())
    if isinstance(node, (list, tuple)):
        return any(_mentions(value, text) for value in node)
    return isinstance(node, str) and text in node


def _plain(node: Any) -> Any:
    """A copy of a part of a config in ordinary dicts."""
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items()}
    return type(node)(map(_plain, node)) if isinstance(node, (list, tuple)) else copy.deepcopy(node)
