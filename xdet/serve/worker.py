"""One thread that runs the model, and the queue before it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .refusal import Refused

_LOGGER = logging.getLogger(__name__)
Run = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(eq=False)
class Job:
    """Something for the thread to do.

    Attributes:
        run (Run): Makes results of the ``asked`` of several jobs, in order; an exception in place of one is its result.
        asked (Any): What this one is about.
        key (Hashable): Jobs with the same key may run together; None: alone.
        deadline (float): Of ``time.monotonic()``; a job that has not begun by then never does.
        future (Future): Gets the result. Cancelling it before the job begins takes the job out of the queue.
    """

    run: Run
    asked: Any
    key: Hashable
    deadline: float
    future: Future[Any] = field(default_factory=Future)


class Worker:
    """Runs jobs in order, one at a time or those that fit together.

    Args:
        most_waiting (int): Length of the queue.
        batch_size (int): Most jobs that run together.
    """

    def __init__(self, most_waiting: int, batch_size: int = 1) -> None:
        self.most_waiting = most_waiting
        self.batch_size = batch_size
        self.running = 0
        self.ran = 0
        self.batches = 0
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._ends = False
        self._thread = threading.Thread(target=self._loop, name='xdet-model', daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._waiting)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def check_room(self) -> None:
        """Raise what :meth:`submit` would raise now.

        Raises:
            Refused: The queue is full, or the thread has ended.
        """
        if self._ends or not self.is_alive:
            raise Refused(503, 'the server is stopping')
        if len(self._waiting) >= self.most_waiting:
            raise Refused(429, f'{self.most_waiting} requests wait already; try again later', {'Retry-After': '1'})

    def submit(self, job: Job) -> None:
        """Put a job into the queue.

        Raises:
            Refused: As :meth:`check_room`.
        """
        with self._changed:
            self.check_room()
            self._waiting.append(job)
            self._changed.notify()
        job.future.add_done_callback(lambda future: self._leave(job) if future.cancelled() else None)

    def close(self) -> None:
        """End the thread after the job that runs; those that wait are refused."""
        with self._changed:
            self._ends = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        for job in left:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(Refused(503, 'the server is stopping'))
        self._thread.join()

    def _leave(self, job: Job) -> None:
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)

    def _loop(self) -> None:
        while batch := self._next():
            begun = [job for job in batch if job.future.set_running_or_notify_cancel()]
            late = [job for job in begun if time.monotonic() > job.deadline]
            for job in late:
                job.future.set_exception(Refused(503, 'this request waited too long for the model; try again later'))
            jobs = [job for job in begun if job not in late]
            if not jobs:
                continue
            self.running = len(jobs)
            self.ran += len(jobs)
            self.batches += 1
            for job, result in zip(jobs, _results(jobs), strict=True):
                if isinstance(result, BaseException):
                    job.future.set_exception(result)
                else:
                    job.future.set_result(result)
            self.running = 0
            del batch, begun, late, jobs, job, result  # nothing of a request outlives it while the thread waits

    def _next(self) -> list[Job]:
        """Those to run now; none when the thread shall end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends)
            if self._ends:
                return []
            first = self._waiting.popleft()
            if first.key is None or self.batch_size == 1:
                return [first]
            others = [job for job in self._waiting if job.key == first.key][: self.batch_size - 1]
            for job in others:
                self._waiting.remove(job)
            return [first, *others]


def _results(jobs: list[Job]) -> Sequence[Any]:
    try:
        return jobs[0].run([job.asked for job in jobs])
    except BaseException as error:  # the thread goes on whatever happens; the handlers of the requests tell
        return [error] * len(jobs)
