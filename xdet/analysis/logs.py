"""Reads the logs that MMEngine writes while it trains (``scalars.json``), draws curves and sums up times."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from xdet.io.writing import replacing

Curve = tuple[np.ndarray, np.ndarray]
"""Steps and values."""


@dataclass(frozen=True)
class TrainingLog:
    """What one training logged.

    Attributes:
        name (str): Name of its folder.
        train (tuple[dict, ...]): Entries of training iterations by ascending step: ``step``, ``loss``, ``time``,
            ``data_time``, ... each averaged over the window of the log processor.
        val (tuple[dict, ...]): Entries of validations: metrics and ``step``, the last iteration logged before them.
    """

    name: str
    train: tuple[dict, ...]
    val: tuple[dict, ...]

    @property
    def keys(self) -> list[str]:
        """Names of everything that was logged as a number."""
        entries = (*self.train, *self.val)
        return sorted({key for entry in entries for key, value in entry.items() if key != 'step' and _is_number(value)})

    def curve(self, key: str) -> Curve:
        """Steps and values of one quantity; what training and validation call alike is training's."""
        entries = [entry for entry in self.train if key in entry] or [entry for entry in self.val if key in entry]
        return np.array([entry['step'] for entry in entries]), np.array([entry[key] for entry in entries], dtype=float)


def read_log(path: str | Path) -> TrainingLog:
    """Read a training's log.

    A training that was interrupted and resumed has one file per start. They are joined: where steps repeat, the later
    start counts.

    Args:
        path (str | Path): A ``scalars.json``, or a work dir (all its starts), or the folder of one start.

    Raises:
        FileNotFoundError: There is no log.
        ValueError: A file is none, or logs no training iteration.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.rglob('vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(f'{path}: no such file, and no folder with vis_data/scalars.json in it')
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for file in files:
        entries = _read_lines(file)
        first = min((entry['step'] for entry in entries if 'loss' in entry), default=None)
        if first is not None:  # a resumed start: what the earlier one logged from here on was lost
            train = {step: entry for step, entry in train.items() if step < first}
            val = {step: entry for step, entry in val.items() if step < first}
        last = None
        for entry in entries:
            if 'loss' in entry:
                last = int(entry['step'])
                train[last] = entry
            else:  # MMEngine itself files validations under their epoch, which is 0 all through
                step = max(last or 0, int(entry['step']))
                val[step] = dict(entry, step=step)
    if not train:
        raise ValueError(f'{path}: logs no training iteration (a line with "loss")')
    name = path.name if path.is_dir() else path.parents[2].name if len(path.parents) > 2 else path.stem
    return TrainingLog(name, *(tuple(entries[step] for step in sorted(entries)) for entries in (train, val)))


def _read_lines(file: Path) -> list[dict]:
    entries = []
    lines = file.read_text(encoding='utf-8').splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):  # cut off when the training was killed
                break
            raise ValueError(f'{file}: line {number} is not JSON ({error})') from None
        if not isinstance(entry, dict):
            raise ValueError(f'{file}: line {number} is not an object; it must be a scalars.json of MMEngine')
        if 'step' in entry:
            entries.append(entry)
    return entries


def choose_keys(logs: Sequence[TrainingLog], patterns: Sequence[str]) -> list[str]:
    """Names that match shell patterns, in the order of the patterns.

    Raises:
        ValueError: A pattern matches nothing.
    """
    known = sorted({key for log in logs for key in log.keys})
    chosen: dict[str, None] = {}
    for pattern in patterns:
        found = fnmatch.filter(known, pattern)
        if not found:
            raise ValueError(f"no logged value matches '{pattern}'; there are {', '.join(known)}")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over the last ``window`` values, fewer at the beginning."""
    if window <= 1:
        return values
    sums = np.cumsum(np.insert(values, 0, 0.0))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(0, stop - window)
    return (sums[stop] - sums[start]) / (stop - start)


def draw_curves(
    logs: Sequence[TrainingLog], keys: Sequence[str], path: Path, window: int = 1, log_scale: bool = False
) -> None:
    """Picture with a panel per quantity and a line per training.

    Args:
        logs (Sequence[TrainingLog]): Trainings to compare.
        keys (Sequence[str]): Quantities.
        path (Path): File to write.
        window (int): Logged values to average.
        log_scale (bool): Logarithmic values.
    """
    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.4 * rows), layout='constrained')
    for axes, key in zip(figure.subplots(rows, columns, squeeze=False).flat, keys, strict=False):
        for log in logs:
            steps, values = log.curve(key)
            few = len(steps) < 30
            axes.plot(steps, smooth(values, window), label=log.name, linewidth=1.2, marker='o' if few else None)
        axes.set_title(key, fontsize=10)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=8)
        if log_scale:
            axes.set_yscale('log')
    for axes in list(figure.axes)[len(keys) :]:
        axes.remove()
    figure.axes[0].legend(fontsize=8)
    figure.supxlabel('iteration', fontsize=9)
    with replacing(path) as file:
        figure.savefig(file, dpi=120, format=path.suffix[1:] or 'png')


def time_statistics(log: TrainingLog, skip: int = 1) -> Mapping[str, float]:
    """Times of iterations in seconds, and the share of the time in which they waited for data.

    Args:
        log (TrainingLog): A training. An entry stands for the iterations since the one before it.
        skip (int): Entries to leave out at the beginning, which hold the start-up.

    Raises:
        ValueError: Nothing is left, or no times were logged.
    """
    timed = [entry for entry in log.train if 'time' in entry]
    entries = timed[skip:]
    if not entries:
        raise ValueError(
            f'{log.name}: {len(timed)} logged entries have times, of which {skip} are skipped; none is left'
        )
    times = np.array([entry['time'] for entry in entries])
    waiting = np.array([entry.get('data_time', 0.0) for entry in entries])
    return dict(
        entries=len(entries),
        mean=float(times.mean()),
        median=float(np.median(times)),
        p95=float(np.percentile(times, 95)),
        slowest=float(times.max()),
        slowest_step=float(entries[int(times.argmax())]['step']),
        waiting=float(waiting.mean()),
        waiting_share=float(100 * waiting.sum() / times.sum()),
        hours=float(times.mean() * log.train[-1]['step'] / 3600),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
