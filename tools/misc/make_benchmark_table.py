"""Write the tables of docs/evaluation.md, which come from the benchmarks' own descriptions, or check them.

python tools/misc/make_benchmark_table.py
python tools/misc/make_benchmark_table.py --check
"""

from __future__ import annotations

import re
import runpy
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from xdet.benchmarks.fragments import Benchmark, list_benchmarks, load_benchmark
from xdet.cli.errors import one_line_errors
from xdet.cli.parsing import Parser
from xdet.cli.running import run_program
from xdet.io.writing import write_text

DOWNLOADS = Path(__file__).with_name('download_dataset.py')
PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'evaluation.md'
BEGIN, END = '<!-- begin: {} -->', '<!-- end: {} -->'


def tables() -> dict[str, str]:
    """Text of every part of the page that is made here, by name."""
    benchmarks = [load_benchmark(name) for name in list_benchmarks()]
    public = [benchmark for benchmark in benchmarks if not benchmark.facts.get('own_data')]
    own = [benchmark for benchmark in benchmarks if benchmark.facts.get('own_data')]
    return {
        'benchmarks': _table(('benchmark', 'data', 'split', 'images', 'values', 'folder'), map(_row, _grouped(public))),
        'protocols': _table(('benchmark', 'official', 'recommended'), _protocols(_grouped(public))),
        'notes': '\n'.join(_notes(_grouped(public))),
        'data': _table(('data set', 'for', 'how to get it', 'then', 'folder'), _downloads()),
        'own': _table(('benchmark', 'layout of the folder', 'values'), map(_own, own)),
    }


def fill(page: str) -> str:
    """The page with its tables renewed.

    Raises:
        ValueError: A mark is missing.
    """
    for name, text in tables().items():
        begin, end = BEGIN.format(name), END.format(name)
        if begin not in page or end not in page:
            raise ValueError(f'{PAGE}: has no lines {begin} and {end}')
        before, rest = page.split(begin, 1)
        page = f'{before}{begin}\n\n{text}\n\n{end}{rest.split(end, 1)[1]}'
    return page


def _grouped(benchmarks: list[Benchmark]) -> list[tuple[str, Benchmark]]:
    """One entry per family."""
    groups: dict[str, tuple[str, Benchmark]] = {}
    for benchmark in benchmarks:
        family = benchmark.facts.get('family')
        groups.setdefault(family or benchmark.name, (f'{family}-*' if family else benchmark.name, benchmark))
    return list(groups.values())


def _row(entry: tuple[str, Benchmark]) -> tuple[str, ...]:
    name, benchmark = entry
    facts = benchmark.facts
    title = facts['title'] if name == benchmark.name else f'{len(list_benchmarks(name))} sets, such as {facts["title"]}'
    values = ', '.join(value.split('/', 1)[1] for value in facts['headline'])
    count = str(facts.get('num_samples', '')) if name == benchmark.name else ''
    return f'`{name}`', title, facts['split'], count, values, f'`{benchmark.data_root}`'


def _protocols(entries: list[tuple[str, Benchmark]]) -> list[tuple[str, str, str]]:
    """A row for all benchmarks whose protocols are explained alike."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name, benchmark in entries:
        rows.setdefault((benchmark.why('official'), benchmark.why('recommended')), []).append(name)
    return [(_named(names), *reasons) for reasons, names in rows.items()]


def _notes(entries: list[tuple[str, Benchmark]]) -> list[str]:
    lines: dict[str, list[str]] = {}
    for name, benchmark in entries:
        for note in benchmark.facts.get('notes', ()):
            lines.setdefault(note, []).append(name)
    whole = dict(width=120, subsequent_indent='  ', break_long_words=False, break_on_hyphens=False)
    return [textwrap.fill(f'* {_named(names)}: {note}', **whole) for note, names in lines.items()]


def _named(names: Sequence[str]) -> str:
    """Names of benchmarks in few words: patterns that match these and no others, then the rest."""
    left, words = list(names), []
    while left:
        starts = {name[: cut.end()] + '*' for name in left for cut in re.finditer(r'^[a-z]+(?=[-+])|-', name)}
        ends = {'*' + name[name.rindex('-') :] for name in left if '-' in name}
        matched = {pattern: set(list_benchmarks(pattern)) for pattern in sorted(starts | ends)}
        fitting = {pattern: found for pattern, found in matched.items() if len(found) > 2 and found <= set(names)}
        best = max(fitting, key=lambda pattern: (len(fitting[pattern] & set(left)), -len(pattern)), default=None)
        if best is None or len(fitting[best] & set(left)) < 3:
            break
        words.append(best)
        left = [name for name in left if name not in fitting[best]]
    return ', '.join(f'`{word}`' for word in [*words, *left])


def _downloads() -> list[tuple[str, ...]]:
    """A row for every data set that tools/misc/download_dataset.py knows."""
    rows = []
    for name, source in runpy.run_path(str(DOWNLOADS))['SOURCES'].items():
        get = f'`download_dataset.py {name}`' if source.urls else f'[ask for it]({source.terms})'
        then = f'`{source.then}`' if source.then.startswith('python ') and ',' not in source.then else source.then
        rows.append((f'`{name}`', source.use, get, then, f'`data/{source.folder}`'))
    return rows


def _own(benchmark: Benchmark) -> tuple[str, ...]:
    values = ', '.join(value.split('/', 1)[1] for value in benchmark.facts['headline'])
    return f'`{benchmark.name}`', benchmark.facts['layout'], values


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ('---',) * len(head), *rows]
    return '\n'.join(f'| {" | ".join(str(cell).replace("|", "/") for cell in line)} |' for line in lines)


def main() -> None:
    parser = Parser(description=__doc__.split('\n')[0])
    parser.add_argument('--check', action='store_true', help='fail if the page is not up to date')
    args = parser.parse_args()
    with one_line_errors('benchmark tables', OSError, ValueError):
        page = PAGE.read_text(encoding='utf-8')
        filled = fill(page)
        if args.check and filled != page:
            raise ValueError(f'{PAGE} is not up to date; run python tools/misc/make_benchmark_table.py')
        if not args.check:
            write_text(PAGE, filled)


if __name__ == '__main__':
    sys.exit(run_program(main))
