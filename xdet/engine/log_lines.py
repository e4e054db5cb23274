"""Lines of the training log: they fit on a screen, and a screen that is gone does not end a training."""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import suppress
from functools import partial
from typing import Any

from mmengine.runner import LogProcessor, Runner

from xdet.io.terminal import tell
from xdet.registry import LOG_PROCESSORS

# Losses are called [source.][layer.]loss_KIND[_part].
_LOSS = re.compile(r'(?:[^:]*\.)?loss_([a-z]+)')


@LOG_PROCESSORS.register_module()
class XDetLogProcessor(LogProcessor):
    """MMEngine's log processor with one sum per kind of loss in the lines of training.

    A model has up to a hundred losses: a task times its terms, times the layers of the decoder, times the sources of a
    joint training. The line shows, beside the total and everything else, the sum of each kind over layers and sources.
    Every single loss is in ``scalars.json`` and the other back ends, as always.

    Args:
        details (bool): Write every loss into the line.
        kwargs: Arguments of :class:`mmengine.runner.LogProcessor`.
    """

    def __init__(self, details: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.details = details

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """All values, and the line for the console."""
        values, line = super().get_log_after_iter(runner, batch_idx, mode)
        return values, line if self.details or mode != 'train' else self._shorten(line, values)

    def get_log_after_epoch(
        self, runner: Runner, batch_idx: int, mode: str, with_non_scalar: bool = False
    ) -> tuple[dict, str]:
        """Values and line of a validation or test; times of a validation are no points on the curves of training."""
        values, line = super().get_log_after_epoch(runner, batch_idx, mode, with_non_scalar)
        renamed = {name: f'val/{name}' for name in ('time', 'data_time') if mode == 'val'}
        return {renamed.get(name, name): value for name, value in values.items()}, line

    def _shorten(self, line: str, values: dict) -> str:
        sums: dict[str, float] = {}
        for name, value in values.items():
            if found := _LOSS.match(name.removeprefix('train/')):
                sums[found[1]] = sums.get(found[1], 0.0) + float(value)
        kept = [item for item in line.split('  ') if item and not _LOSS.match(item)]
        return '  '.join([*kept, *(f'{kind}: {value:.{self.num_digits}f}' for kind, value in sums.items())])


def outlive_readers(logger: logging.Logger) -> None:
    """Work goes on when a handler's stream takes no more lines, such as a pipe that ``head`` left, or a full disk.

    One line on standard error says so, in place of a traceback for every line. A pipe without a reader takes nothing
    from then on, so that no ``print`` ends the work either.
    """
    for handler in logger.handlers:
        handler.handleError = partial(_tell_once, handler, [])  # type: ignore[method-assign]


def _tell_once(handler: logging.Handler, told: list[bool], record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
        type(handler).handleError(handler, record)
        return
    stream = getattr(handler, 'stream', None)
    if stream is not None and isinstance(error, BrokenPipeError):
        with suppress(OSError, ValueError), open(os.devnull, 'w') as null:
            os.dup2(null.fileno(), stream.fileno())
    if not told:
        told.append(True)
        name = getattr(stream, 'name', 'the log')
        with suppress(OSError, ValueError):
            tell(f'warning: {name} takes no more lines ({error.strerror}); the work goes on', error=True, flush=True)
