import csv
import math

from xdet.analysis.tables import markdown, write_table

HEADER, ROWS = ('class', 'IoU'), [('sky|sea', 12.345), ('grass', math.nan), ('ball', None)]


def test_markdown():
    assert markdown(HEADER, ROWS).splitlines() == [
        '| class   |  IoU |',
        '| ------- | ---: |',
        '| sky/sea | 12.3 |',
        '| grass   |      |',
        '| ball    |      |',
    ]


def test_files(tmp_path):
    write_table(tmp_path / 'new' / 'table', HEADER, ROWS)
    assert (tmp_path / 'new' / 'table.md').read_text() == markdown(HEADER, ROWS) + '\n'
    with open(tmp_path / 'new' / 'table.csv', newline='') as file:
        assert list(csv.reader(file)) == [['class', 'IoU'], ['sky|sea', '12.345'], ['grass', ''], ['ball', '']]
