"""Results of a suite as a table."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from .records import Record, RecordStore

if TYPE_CHECKING:
    from .suite import Entry

_HEAD = '| benchmark | split | samples | result | config hash | time |\n|---|---|---|---|---|---|'
_NAMED = ('checkpoint', 'checkpoint_sha256', 'config', 'protocol', 'world_size')


def markdown_table(records: Sequence[Record], entries: Sequence[Entry] = ()) -> str:
    """Results with what they were made of; what could not run stands below with the reason.

    Values are as the metrics give them. A split of which only a part was tested shows both numbers.
    """
    lines = [*_provenance(records), '', _HEAD] if records else []
    for record in records:
        values = ', '.join(f'{_short(name)} {_value(record.metrics.get(name))}' for name in record.headline)
        lines.append(
            _row(record.title, record.split, _samples(record), values, record.config_hash, _time(record.seconds))
        )
    lines += _families(records)
    missing = [f'* {_cell(entry.name)}: {_cell(entry.problem)}' for entry in entries if entry.problem]
    if missing:
        lines += ['', 'Not run:', '', *missing]
    return '\n'.join(lines) + '\n'


def write_tables(store: RecordStore, records: Sequence[Record], entries: Sequence[Entry] = ()) -> None:
    """Write ``results.md`` and ``results.json`` into the folder of a suite."""
    store.write_text('results.md', markdown_table(records, entries))
    content = dict(
        results=[_json_ready(record) for record in records],
        families=family_means(records),
        not_run={entry.name: entry.problem for entry in entries if entry.problem},
    )
    store.write_text('results.json', json.dumps(content, indent=1) + '\n')


def family_means(records: Sequence[Record]) -> dict[str, dict[str, dict[str, float | None]]]:
    """By family and headline value: ``mean`` and ``median`` over the family's benchmarks, and their ``number``."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for name in record.headline if record.family else ():
            value = record.metrics.get(name, math.nan)
            if not math.isnan(value):
                values[str(record.family)][name].append(value)
    return {
        family: {
            name: dict(mean=statistics.fmean(column), median=statistics.median(column), number=len(column))
            for name, column in columns.items()
        }
        for family, columns in values.items()
    }


def _provenance(records: Sequence[Record]) -> list[str]:
    """What all results share; what differs between them is in their JSON files."""
    shared = []
    for name in _NAMED:
        values = list(dict.fromkeys(str(getattr(record, name)) for record in records))
        shared.append(f'{name.replace("_", " ")}: {", ".join(values)}')
    found = dict.fromkeys(f'{name} {version}' for record in records for name, version in record.versions.items())
    return [f'* {line}' for line in [*shared, f'versions: {", ".join(found)}']]


def _families(records: Sequence[Record]) -> list[str]:
    lines = []
    for family, columns in family_means(records).items():
        for kind in ('mean', 'median'):
            values = ', '.join(f'{_short(name)} {_value(column[kind])}' for name, column in columns.items())
            number = max(int(column['number'] or 0) for column in columns.values())
            lines.append(_row(f'{family}, {kind} of {number}', '', '', values, '', ''))
    return lines


def _row(*cells: str) -> str:
    return f'| {" | ".join(map(_cell, cells))} |'


def _cell(text: str) -> str:
    """Names of folders and messages may hold what ends a cell or a row."""
    return ' '.join(str(text).replace('|', r'\|').split())


def _samples(record: Record) -> str:
    if record.expected_samples in (None, record.num_samples):
        return str(record.num_samples)
    return f'{record.num_samples} of {record.expected_samples}'


def _short(name: str) -> str:
    return name.split('/', 1)[-1]


def _value(value: float | None) -> str:
    return '-' if value is None or math.isnan(value) else f'{value:.2f}'


def _time(seconds: float) -> str:
    return f'{seconds:.1f} s' if seconds < 100 else f'{seconds / 60:.1f} min'


def _json_ready(record: Record) -> dict:
    content = asdict(record)
    content['metrics'] = {key: value if math.isfinite(value) else None for key, value in record.metrics.items()}
    return content
