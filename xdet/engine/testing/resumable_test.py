"""Testing that goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mmengine.dist as dist
import torch
from mmengine.evaluator import Evaluator
from mmengine.evaluator.metric import _to_cpu
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, TestLoop
from torch import nn
from torch.utils.data import BatchSampler, Sampler

import xdet
from xdet.registry import LOOPS

from .result_files import ResultWriter, read_indices, read_results

_SPEED_ONLY = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')
"""Settings of a data loader that do not change what it gives."""


class PendingBatches(Sampler):
    """Batches of a sampler, without those that were tested before.

    Batches are put together as if nothing had been done, so a resumed test passes the same batches through the model as
    an uninterrupted one on as many processes. All ranks get equally many, as some ways to distribute a model need:
    where one has fewer left, it repeats its first.

    Args:
        sampler (Sampler): Indices of this rank, the same in every run.
        batch_size (int): Samples per batch.
    """

    def __init__(self, sampler: Sampler, batch_size: int) -> None:
        self._batches = list(BatchSampler(sampler, batch_size, drop_last=False))
        self._pending = self._batches

    def skip(self, done: set[int]) -> None:
        """Leave out the batches of which all samples are ``done``; to be called by all ranks."""
        pending = [batch for batch in self._batches if not done.issuperset(batch)]
        most = max(dist.all_gather_object(len(pending)))
        self._pending = pending + self._batches[:1] * (most - len(pending))

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._pending)

    def __len__(self) -> int:
        return len(self._pending)


@LOOPS.register_module()
class ResumableTestLoop(TestLoop):
    """Test loop that writes the results of every batch to disk, and after an interruption goes on with the rest.

    ``test_cfg = dict(type='ResumableTestLoop')`` is all that a config needs. The metrics' numbers are exactly those of
    MMEngine's loop, however often the test was interrupted and whatever the number of processes: results are put into
    the order of the dataset, and samples that were tested twice (to give all processes equally many) count once.
    Memory does not grow with the number of images before the metrics are computed.

    Results are found again by a fingerprint of weights, model, data (also sizes and times of change of the files of
    images and annotations), metrics and the library's code. A test that ends removes its results.

    Results are kept as plain data; reading them runs no code. A metric whose results are of classes of its own names
    these in ``result_types``.

    Args:
        runner (Runner): Runner of the test.
        dataloader (dict): Config of the data loader.
        evaluator (Evaluator | dict | list): Metrics; each must keep one result per sample.
        fp16 (bool): Whether to test in half precision.
        folder (str, optional): Where to keep results, seen by all processes. None: ``unfinished_test`` in the work dir.
        keep (bool): Keep the results of a test that has ended; testing the same again then takes no time.

    Raises:
        ValueError: The data loader is no config, or has a batch sampler of its own.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Mapping[str, Any],
        evaluator: Evaluator | dict | list,
        fp16: bool = False,
        folder: str | None = None,
        keep: bool = False,
    ) -> None:
        if not isinstance(dataloader, Mapping) or dataloader.get('batch_sampler'):
            raise ValueError('ResumableTestLoop makes the batches itself: give it a config without batch_sampler')
        self._description = _describe(
            model=runner.cfg.get('model'),
            data={key: value for key, value in dataloader.items() if key not in _SPEED_ONLY},
            metrics=evaluator,
            fp16=fp16,
        )
        super().__init__(runner, {**dataloader, 'batch_sampler': dict(type=PendingBatches)}, evaluator, fp16)
        self._root = Path(folder or Path(runner.work_dir) / 'unfinished_test')
        self._keep = keep

    def run(self) -> dict[str, float]:
        """Test what is left to be tested, and compute the metrics of everything."""
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        self.runner.model.eval()
        folder = self._root / self.fingerprint()
        self._skip_done(folder)
        self._test_rest(folder)
        dist.barrier()
        size = len(self.dataloader.dataset)
        # MMEngine gathers the results of all ranks; here the first already has them all, in order.
        if dist.is_main_process():
            for metric, results in zip(
                self.evaluator.metrics, read_results(folder, size, self._result_types), strict=True
            ):
                metric.results = results
        metrics = self.evaluator.evaluate(size)
        if dist.is_main_process() and not self._keep:
            shutil.rmtree(folder)
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    def fingerprint(self) -> str:
        """Short name of what is tested, on what and how; equal on all ranks."""
        names = ['']
        if dist.is_main_process():
            digest = hashlib.blake2b(digest_size=8)
            model = self.runner.model
            _add_weights(digest, model.module if is_model_wrapper(model) else model)
            _add_sources(digest, Path(xdet.__file__).parent)
            digest.update(f'{self._description} {len(self.dataloader.dataset)}'.encode())
            _add_files(digest, files_of(self.dataloader.dataset, json.loads(self._description)))
            names = [digest.hexdigest()]
        dist.broadcast_object_list(names)
        return names[0]

    @property
    def _result_types(self) -> list[type]:
        return [kind for metric in self.evaluator.metrics for kind in getattr(metric, 'result_types', ())]

    def _skip_done(self, folder: Path) -> None:
        done = [read_indices(folder) if dist.is_main_process() else None]
        dist.broadcast_object_list(done)
        self.dataloader.batch_sampler.skip(done[0])
        if done[0]:
            self.runner.logger.info(
                f'{len(done[0])} of {len(self.dataloader.dataset)} samples were tested before the last interruption; '
                f'going on with the rest ({folder})'
            )

    def _test_rest(self, folder: Path) -> None:
        batches = iter(self.dataloader.batch_sampler)
        with ResultWriter(folder, dist.get_rank(), self._result_types) as writer:
            for number, (indices, data_batch) in enumerate(zip(batches, self.dataloader, strict=True)):
                self.run_iter(number, data_batch)
                writer.write(indices, [_take_results(metric, len(indices)) for metric in self.evaluator.metrics])


def _take_results(metric: Any, count: int) -> list[Any]:
    """Results of the last batch, which leave the metric.

    Raises:
        ValueError: There is not one per sample, so they cannot be told apart.
    """
    results = _to_cpu(list(metric.results))
    metric.results.clear()
    if len(results) != count:
        raise ValueError(
            f'{type(metric).__name__} keeps {len(results)} results for {count} samples; ResumableTestLoop needs one '
            "per sample: use test_cfg = dict(type='TestLoop') with this metric"
        )
    return results


def _describe(**parts: Any) -> str:
    """Text of configs, which is the same in every run; of objects in them, all but their address."""
    return json.dumps(parts, sort_keys=True, default=lambda value: re.sub(r' at 0x[0-9a-f]+', '', repr(value)))


def _add_weights(digest: Any, model: nn.Module) -> None:
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(f'{value.dtype}{tuple(value.shape)}'.encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def files_of(dataset: Any, description: Any) -> set[str]:
    """Files that a dataset reads: those named by its samples, and those named in the configs of data and metrics."""
    found: set[str] = set()

    def walk(value: Any, root: str) -> None:
        if isinstance(value, Mapping):
            root = value.get('data_root') or root
            for part in value.values():
                walk(part, root if isinstance(root, str) else '')
        elif isinstance(value, (list, tuple)):
            for part in value:
                walk(part, root)
        elif isinstance(value, str) and ('.' in value or '/' in value):
            # Samples of shards are called SHARD/KEY.
            for path in (value, os.path.join(root, value), os.path.dirname(value)):
                if path not in found and _is_file(path):
                    found.add(path)
                    break

    walk(description, '')
    if hasattr(dataset, 'source_files'):
        walk(list(dataset.source_files), '')
    elif hasattr(dataset, 'get_data_info'):
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            walk([value for key, value in info.items() if 'path' in key] if isinstance(info, Mapping) else [], '')
    return found


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)
    except ValueError:  # a text with a NUL character
        return False


def _add_files(digest: Any, paths: Iterable[str]) -> None:
    for path in sorted(paths):
        status = os.stat(path)
        digest.update(f'{path} {status.st_size} {status.st_mtime_ns}'.encode(errors='surrogateescape'))


def _add_sources(digest: Any, folder: Path) -> None:
    for path in sorted(folder.rglob('*.py')):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
