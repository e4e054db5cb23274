"""Runs a function in processes that share a gloo process group."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

LIMIT = 240  # seconds; a few are enough on an idle machine

needs_ranks = pytest.mark.skipif(
    'fork' not in multiprocessing.get_all_start_methods() or not dist.is_gloo_available() or torch.cuda.is_available(),
    reason='needs processes that are forked, and gloo; with CUDA, set CUDA_VISIBLE_DEVICES= for these tests',
)


def stay_forkable() -> None:
    """Start autograd, before anything else does.

    The first backward pass of a process starts a thread for each device but the CPU, and a process with such threads
    cannot be forked into one that runs a backward pass. Tracing a model (``FakeTensorMode``) pretends that there are
    eight CUDA devices, so where there is none the first pass must come before it.
    """
    torch.ones(1, requires_grad=True).backward()


def on_two_ranks(function: Callable[[], Any], folder: Path) -> list:
    """Run ``function()`` in two processes; returns what they return."""
    return on_ranks(function, folder, 2)


def on_ranks(function: Callable[[], Any], folder: Path, count: int) -> list:
    """Run ``function()`` in ``count`` processes; returns what they return."""
    exitcodes = start_ranks(function, folder, count)
    errors = '\n'.join(path.read_text() for path in sorted(folder.glob('*.err')))
    assert exitcodes == [0] * count, f'the ranks ended with {exitcodes}\n{errors}'
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(count)]


def start_ranks(function: Callable[[], Any], folder: Path, count: int) -> list[int | None]:
    """Run ``function()`` in ``count`` processes; returns how they ended."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=_rank, args=(function, folder, rank, count)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT)
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    assert not alive, 'a rank waits for the other'
    return [process.exitcode for process in processes]


def _rank(function: Callable[[], Any], folder: Path, rank: int, count: int) -> None:
    torch.set_num_threads(1)  # a forked process must not use its parent's thread pool
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
    store = dist.FileStore(f'{folder}/store', count)
    with open(folder / f'{rank}.err', 'w') as errors:
        faulthandler.enable(errors)
        try:
            dist.init_process_group('gloo', store=store, rank=rank, world_size=count)
            torch.save(function(), folder / f'{rank}.pt')
            # A rank that leaves closes its connections, and another may still read its last message from them.
            store.set(f'done {rank}', '')
            store.wait([f'done {other}' for other in range(count)], timedelta(seconds=LIMIT))
            dist.destroy_process_group()
        except BaseException:
            traceback.print_exc(file=errors)
            raise
