"""Conversions go on where they stopped, and check what they made."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from xdet.datasets.files.conversion import Conversion
from xdet.io.locking import locked
from xdet.io.writing import write_json, write_text


class Doubling:
    """Writes twice a number into a file; fails at one of them; picklable."""

    def __init__(self, root: Path, fails_at: int | None = None) -> None:
        self.root = root
        self.fails_at = fails_at

    def __call__(self, number: int) -> dict:
        if number == self.fails_at:
            raise ValueError(f'number {number} is damaged')
        write_text(self.root / 'parts' / f'{number}.txt', str(2 * number))
        return dict(files=[f'parts/{number}.txt'], value=2 * number)

    def finish(self, records: dict[str, dict]) -> list[str]:
        write_json(self.root / 'all.json', {key: record['value'] for key, record in records.items()})
        return ['all.json']


ITEMS = {f'n{number}': number for number in (3, 1, 2)}


@pytest.mark.parametrize('processes', [1, 2])
def test_makes_counts_and_hashes(processes: int, tmp_path: Path) -> None:
    doubling = Doubling(tmp_path)
    summary = Conversion(tmp_path, 'numbers', processes=processes).run(ITEMS, doubling, doubling.finish)
    assert summary.files == 4 and summary.size == 3 + len('{"n3": 6, "n1": 2, "n2": 4}')
    assert json.loads((tmp_path / 'all.json').read_text()) == dict(n3=6, n1=2, n2=4)
    assert list(json.loads((tmp_path / 'all.json').read_text())) == list(ITEMS)
    subprocess.run(['sha256sum', '--quiet', '-c', 'numbers.sha256'], cwd=tmp_path, check=True)
    assert not list(tmp_path.glob('.*'))


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='number 2 is damaged'):
        Conversion(tmp_path, 'numbers').run(ITEMS, Doubling(tmp_path, fails_at=2))
    assert not (tmp_path / 'numbers.sha256').exists()
    with (tmp_path / '.numbers.journal').open('a') as journal:
        journal.write('["n2", {"fi')  # killed while writing
    resumed = Doubling(tmp_path, fails_at=3)
    summary = Conversion(tmp_path, 'numbers').run(ITEMS, resumed, resumed.finish)
    fresh = Doubling(tmp_path / 'fresh')
    assert summary == Conversion(tmp_path / 'fresh', 'numbers').run(ITEMS, fresh, fresh.finish)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / '.numbers.lock', wait=False), pytest.raises(ValueError, match='another process converts'):
        Conversion(tmp_path, 'numbers').run(ITEMS, Doubling(tmp_path))
    assert Conversion(tmp_path, 'numbers').run(ITEMS, Doubling(tmp_path))


def test_lost_file_is_made_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Conversion(tmp_path, 'numbers').run(ITEMS, Doubling(tmp_path, fails_at=2))
    (tmp_path / 'parts' / '3.txt').unlink()
    Conversion(tmp_path, 'numbers').run(ITEMS, Doubling(tmp_path))
    assert (tmp_path / 'parts' / '3.txt').read_text() == '6'


def test_finished_result_is_checked(tmp_path: Path) -> None:
    conversion = Conversion(tmp_path, 'numbers')
    summary = conversion.run(ITEMS, Doubling(tmp_path))
    assert conversion.run(ITEMS, Doubling(tmp_path, fails_at=1)) == summary
    (tmp_path / 'parts' / '1.txt').write_text('3')
    with pytest.raises(ValueError, match=r'parts/1.txt: differs from .*numbers.sha256; use --overwrite'):
        conversion.run(ITEMS, Doubling(tmp_path))
    (tmp_path / 'parts' / '1.txt').unlink()
    with pytest.raises(ValueError, match=r'parts/1.txt: is listed in .*numbers.sha256 but missing'):
        conversion.run(ITEMS, Doubling(tmp_path))
    assert Conversion(tmp_path, 'numbers', overwrite=True).run(ITEMS, Doubling(tmp_path)) == summary


def test_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert Conversion(tmp_path / 'new', 'numbers', dry_run=True).run(ITEMS, Doubling(tmp_path)) is None
    assert '3 of 3 items would be converted' in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_nothing_to_convert(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='numbers: there is nothing to convert'):
        Conversion(tmp_path, 'numbers').run({}, Doubling(tmp_path))
    with pytest.raises(ValueError, match='processes is 0'):
        Conversion(tmp_path, 'numbers', processes=0)
