import json
from pathlib import Path

import numpy as np
import pytest
import torch

from xdet.inference.outputs.journal import NAME, Journal, ResumeError, plain
from xdet.structures import Vocabulary

RUN = dict(task='panoptic')
CONTENT = b'{"x": 1}'


def write(folder, index=0, content=CONTENT):
    (folder / 'x.json').write_bytes(content)


@pytest.fixture
def begun(tmp_path):
    journal = Journal(tmp_path, RUN, resume=False)
    journal.begin(0, 'x.jpg', [1, 2], dict(json='x.json'), [CONTENT])
    yield tmp_path
    journal.close()


def reopened(folder):
    journal = Journal(folder, RUN, resume=True)
    journal.close()
    return journal


def finished(folder, index=0, image='x.jpg', stamp=(1, 2)):
    with open(folder / NAME, 'rb') as file:
        lines = file.read()
    other = folder / 'other'  # the lock of the first one stays
    other.mkdir(exist_ok=True)
    (other / NAME).write_bytes(lines)
    if (folder / 'x.json').exists():
        (other / 'x.json').write_bytes((folder / 'x.json').read_bytes())
    return reopened(other).finished(index, image, list(stamp))


def test_an_image_is_finished_when_its_files_are(begun):
    assert finished(begun) is None
    (begun / 'x.json').write_bytes(b'{"x": 2}')
    assert finished(begun) is None
    (begun / 'x.json').write_bytes(CONTENT)
    assert finished(begun) == dict(x=1)
    assert finished(begun, index=1) is None
    assert finished(begun, image='y.jpg') is None
    assert finished(begun, stamp=(1, 3)) is None


def test_half_a_line_does_not_count(begun):
    (begun / 'x.json').write_bytes(CONTENT)
    with open(begun / NAME, 'ab') as file:
        file.write(b'{"index": 1, "ima')
    assert finished(begun) == dict(x=1)
    assert (begun / 'other' / NAME).read_bytes().endswith(b'}\n')


def test_no_line_at_all_is_a_new_run(tmp_path):
    (tmp_path / NAME).write_bytes(b'{"task": "pan')
    reopened(tmp_path)
    assert json.loads((tmp_path / NAME).read_text()) == RUN


@pytest.mark.parametrize('line', [b'nothing\n', b'{"no": 1}\n', b'[]\n', b'{"index": "one"}\n', b'\xff\n'])
def test_a_damaged_journal_is_one_line(begun, line):
    (begun / 'other').mkdir()
    (begun / 'other' / NAME).write_bytes(b'{"task": "panoptic"}\n' + line)
    with pytest.raises(ResumeError, match='run.jsonl.* is damaged in line 2'):
        reopened(begun / 'other')


def test_files_elsewhere_are_not_looked_at(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'x.json').write_bytes(CONTENT)
    journal = Journal(tmp_path / 'out', RUN, resume=False)
    journal.begin(0, 'x.jpg', None, dict(json='../x.json'), [CONTENT])
    assert reopened_is_none(journal)


def reopened_is_none(journal):
    journal.close()
    return reopened(journal.folder).finished(0, 'x.jpg', None) is None


def test_equal_options_are_equal_in_every_process():
    value = dict(boxes=np.arange(4.0), masks=torch.ones(2, 2), names=Vocabulary(('a',), (True,)), file=Path('a/b'), n=1)
    again = dict(boxes=np.arange(4.0), masks=torch.ones(2, 2), names=Vocabulary(('a',), (True,)), file=Path('a/b'), n=1)
    assert json.loads(json.dumps(plain(value))) == json.loads(json.dumps(plain(again)))
    assert plain(value) != plain(dict(value, boxes=np.arange(1.0, 5.0)))
    assert plain(value) != plain(dict(value, names=Vocabulary(('a',), (False,))))
