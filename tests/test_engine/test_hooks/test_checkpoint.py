import errno
import os
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.runner.checkpoint import save_checkpoint

from xdet.engine.hooks import checkpoint
from xdet.engine.hooks.checkpoint import AtomicLocalBackend, newest_usable_checkpoint


@pytest.fixture
def full_disk(monkeypatch):
    """Every write ends half-way with "no space left on device"."""

    def fsync(descriptor):
        os.ftruncate(descriptor, 3)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', fsync)


def save(directory, *steps, pointer=True):
    for step in steps:
        torch.save(
            dict(meta=dict(iter=step), state_dict=dict(w=torch.full((100,), step))), directory / f'iter_{step}.pth'
        )
    if pointer:
        (directory / 'last_checkpoint').write_text(str(directory / f'iter_{steps[-1]}.pth'))


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def test_atomic_backend_writes(tmp_path):
    backend = get_file_backend(str(tmp_path), backend_args=dict(backend='atomic'))
    assert isinstance(backend, AtomicLocalBackend)
    backend.put(b'data', tmp_path / 'sub' / 'file.pth')
    assert (tmp_path / 'sub' / 'file.pth').read_bytes() == b'data'
    assert os.listdir(tmp_path / 'sub') == ['file.pth']


def test_full_disk_keeps_what_was_there(tmp_path, full_disk):
    (tmp_path / 'iter_3.pth').write_bytes(b'earlier')
    with pytest.raises(
        OSError, match=r"iter_3.pth' could not be written: No space left.* MiB are free. Files written before"
    ):
        AtomicLocalBackend().put(b'longer data', tmp_path / 'iter_3.pth')
    assert os.listdir(tmp_path) == ['iter_3.pth']
    assert (tmp_path / 'iter_3.pth').read_bytes() == b'earlier'


def test_checkpoints_are_written_as_they_are_made(tmp_path, monkeypatch):
    """The file gets them in pieces, none of them the whole."""
    pieces = []

    @contextmanager
    def writing(self, path):
        with open(path, 'wb') as file:
            yield SimpleNamespace(write=lambda data: pieces.append(len(data)) or file.write(data), flush=file.flush)

    monkeypatch.setattr(AtomicLocalBackend, 'writing', writing)
    state = {str(n): torch.ones(10_000) for n in range(5)}
    save_checkpoint(state, str(tmp_path / 'x.pth'), backend_args=dict(backend='atomic'))
    assert torch.equal(torch.load(tmp_path / 'x.pth', weights_only=True)['4'], state['4'])
    assert max(pieces) < 50_000 and sum(pieces) > 200_000


def test_disk_that_gets_full_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    (tmp_path / 'x.pth').write_bytes(b'earlier')

    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('xdet.compat.streamed_saving._Noting.write', write)
    with pytest.raises(OSError, match=r"x.pth' could not be written: No space left on device; .* MiB are free"):
        save_checkpoint(dict(a=torch.ones(10)), str(tmp_path / 'x.pth'), backend_args=dict(backend='atomic'))
    assert os.listdir(tmp_path) == ['x.pth'] and (tmp_path / 'x.pth').read_bytes() == b'earlier'


def test_last_checkpoint_is_taken_when_it_is_good(tmp_path):
    save(tmp_path, 3, 20, 9)
    assert newest_usable_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_9.pth')


@pytest.mark.parametrize('how', ['damaged', 'truncated', 'missing', 'empty pointer', 'no pointer'])
def test_falls_back_to_the_newest_good_one(tmp_path, how, monkeypatch):
    messages = []
    monkeypatch.setattr(checkpoint, 'print_log', lambda message, **_: messages.append(message))
    save(tmp_path, 3, 9, 20, pointer=how != 'no pointer')
    newest, expected = tmp_path / 'iter_20.pth', 'iter_9.pth'
    if how == 'damaged':
        damage(newest)
    elif how == 'truncated':
        newest.write_bytes(newest.read_bytes()[:500])
    elif how == 'missing':
        newest.unlink()
    else:
        expected = 'iter_20.pth'
        if how == 'empty pointer':
            (tmp_path / 'last_checkpoint').write_text('')
    assert newest_usable_checkpoint(str(tmp_path)) == str(tmp_path / expected)
    assert any('Skipped unusable checkpoints' in message for message in messages) == (expected == 'iter_9.pth')


def test_nothing_to_resume_from(tmp_path):
    assert newest_usable_checkpoint(str(tmp_path)) is None
    save(tmp_path, 3)
    damage(tmp_path / 'iter_3.pth')
    with pytest.raises(ValueError, match=r'no checkpoint to resume from is usable: .*iter_3.pth'):
        newest_usable_checkpoint(str(tmp_path))


def test_any_damaged_byte_of_the_table_of_contents_is_noticed(tmp_path):
    """It has no checksum: readers report what they stumble over, in many ways, or do not notice."""
    save(tmp_path, 3, 9)
    good = (tmp_path / 'iter_9.pth').read_bytes()
    names = set()
    for position in range(good.index(b'PK\x01\x02'), len(good), 3):
        data = bytearray(good)
        data[position] ^= 0xFF
        (tmp_path / 'iter_9.pth').write_bytes(bytes(data))
        chosen = newest_usable_checkpoint(str(tmp_path))
        names.add(os.path.basename(chosen))
        torch.load(chosen, weights_only=True)
    assert 'iter_3.pth' in names


@pytest.mark.parametrize('content', [b'\xff\xfe\x00', b'\x80abc', b'x' * 10_000, b'a\nb', b'a\x00b', b'nowhere.pth'])
def test_pointers_that_point_to_nothing(tmp_path, content):
    save(tmp_path, 3, 9)
    (tmp_path / 'last_checkpoint').write_bytes(content)
    assert newest_usable_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_9.pth')
