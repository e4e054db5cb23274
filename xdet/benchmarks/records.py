"""What a suite keeps of every benchmark it finished, so that an interrupted one goes on and numbers say where from."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from xdet.compat.quiet import quiet_imports
from xdet.io.reading import file_sha256
from xdet.io.writing import write_text

_VERSIONED = ('xdet', 'torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'numpy')
_TESTED = ('model', 'test_dataloader', 'test_cfg', 'test_evaluator')
_HARMLESS = ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory')


@dataclass
class Record:
    """Result of one benchmark.

    Attributes:
        benchmark (str): Its name.
        title (str): Its title.
        split (str): Of the data set.
        protocol (str): ``'recommended'`` or ``'official'``.
        metrics (dict[str, float]): All values; NaN is stored as null.
        headline (list[str]): Names of the most important ones.
        num_samples (int): Images that were tested.
        expected_samples (int | None): Images of the whole split.
        seconds (float): Wall time of the test, with reading of data and embedding of texts.
        checkpoint (str): File name of the weights.
        checkpoint_sha256 (str): Their hash.
        config (str): Name of the model's config.
        config_hash (str): See :func:`config_hash`.
        data_root (str): Where the data were.
        world_size (int): Number of processes.
        versions (dict[str, str]): Of what computed the values.
        family (str | None): Benchmarks to average over.
        data_hash (str): See :func:`data_hash`; empty in results of older versions.
    """

    benchmark: str
    title: str
    split: str
    protocol: str
    metrics: dict[str, float]
    headline: list[str]
    num_samples: int
    expected_samples: int | None
    seconds: float
    checkpoint: str
    checkpoint_sha256: str
    config: str
    config_hash: str
    data_root: str
    world_size: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    family: str | None = None
    data_hash: str = ''


class RecordStore:
    """Folder with a JSON file per finished benchmark.

    Args:
        folder (str | Path): Made when the first record is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, benchmark: str, protocol: str) -> Path:
        """File of a benchmark."""
        return self.folder / f'{benchmark}.{protocol}.json'

    def read(self, benchmark: str, protocol: str) -> Record | None:
        """Record of a benchmark, None if it has not finished.

        Raises:
            ValueError: The file is not a record.
        """
        path = self.path(benchmark, protocol)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
            content['metrics'] = {
                key: math.nan if value is None else value for key, value in content['metrics'].items()
            }
            return Record(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f'{path}: not a record of a finished benchmark ({error}); remove it') from error

    def write(self, record: Record) -> None:
        """Write a record, whole or not at all."""
        content = asdict(record)
        content['metrics'] = {key: value if math.isfinite(value) else None for key, value in record.metrics.items()}
        self.write_text(self.path(record.benchmark, record.protocol).name, json.dumps(content, indent=1) + '\n')

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the folder, whole or not at all."""
        path = self.folder / name
        write_text(path, text)
        return path


def data_hash(cfg: Config | Mapping) -> str:
    """First 12 hex digits of a hash of the annotation files that a config names, wherever they lie; empty without."""
    from xdet.engine.testing.resumable_test import files_of  # brings the runner with it, which takes seconds

    named = files_of(None, [_plain(cfg.get('test_dataloader')), _plain(cfg.get('test_evaluator'))])
    digests = sorted({file_sha256(path) for path in named})
    return hashlib.sha256(' '.join(digests).encode()).hexdigest()[:12] if digests else ''


def _plain(part: Any) -> Any:
    return part.to_dict() if hasattr(part, 'to_dict') else part


def config_hash(cfg: Config | Mapping) -> str:
    """First 12 hex digits of the SHA-256 of what a config says about model, test data, pipeline and metrics.

    Where the data lie and how many processes read them is to be left out by the caller and here, respectively, so that
    equal hashes mean equal measurements.
    """
    content = {key: cfg.get(key) for key in _TESTED}
    loader = {key: value for key, value in (content['test_dataloader'] or {}).items() if key not in _HARMLESS}
    content['test_dataloader'] = loader
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute the values."""
    with quiet_imports():
        return {
            'python': platform.python_version(),
            **{name: importlib.import_module(name).__version__ for name in _VERSIONED},
        }
