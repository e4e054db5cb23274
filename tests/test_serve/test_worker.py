"""The thread of the model and its queue."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from xdet.serve.refusal import Refused
from xdet.serve.worker import Job, Worker


class Model:
    """Notes what it runs; the first batch waits."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self, asked):
        self.batches.append(list(asked))
        self.begun.set()
        assert self.free.wait(10)
        if 'fault' in asked:
            raise KeyError('fault')
        return [ValueError(one) if one == 'wrong' else one.upper() for one in asked]


def job(model: Model, asked: str, key: str | None = None, seconds: float = 10) -> Job:
    return Job(model, asked, key, time.monotonic() + seconds)


def held(worker: Worker, model: Model) -> Job:
    first = job(model, 'first')
    worker.submit(first)
    assert model.begun.wait(10)
    return first


def test_order_batches_and_errors() -> None:
    model, worker = Model(), Worker(10, batch_size=2)
    first = held(worker, model)
    jobs = [job(model, *args) for args in (('a', 'x'), ('wrong', 'y'), ('b', 'x'), ('c', 'x'), ('fault',), ('d',))]
    for one in jobs:
        worker.submit(one)
    assert worker.waiting == 6
    model.free.set()
    assert first.future.result(10) == 'FIRST'
    results = [one.future.exception(10) or one.future.result() for one in jobs]
    assert [str(result) for result in results] == ['A', 'wrong', 'B', 'C', "'fault'", 'D']
    assert model.batches == [['first'], ['a', 'b'], ['wrong'], ['c'], ['fault'], ['d']]
    assert (worker.ran, worker.batches) == (7, 6)
    worker.close()


def test_cancelled_and_late_jobs_never_run() -> None:
    model, worker = Model(), Worker(2)
    held(worker, model)
    cancelled, late = job(model, 'cancelled'), job(model, 'late', seconds=0)
    worker.submit(cancelled)
    worker.submit(late)
    with pytest.raises(Refused, match='2 requests wait') as error:
        worker.submit(job(model, 'more'))
    assert error.value.status == 429
    assert cancelled.future.cancel() and worker.waiting == 1
    model.free.set()
    with pytest.raises(Refused, match='waited too long'):
        late.future.result(10)
    with pytest.raises(CancelledError):
        cancelled.future.result(10)
    assert model.batches == [['first']]
    worker.close()


def test_close_ends_the_job_that_runs_and_refuses_the_others() -> None:
    model, worker = Model(), Worker(5)
    first, second = held(worker, model), job(model, 'second')
    worker.submit(second)
    closing = threading.Thread(target=worker.close)
    closing.start()
    with pytest.raises(Refused, match='stopping'):
        second.future.result(10)
    model.free.set()
    closing.join(10)
    assert first.future.result(0) == 'FIRST' and not worker.is_alive
    with pytest.raises(Refused, match='stopping') as error:
        worker.submit(job(model, 'third'))
    assert error.value.status == 503
