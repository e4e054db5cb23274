"""WebDataset shards: every sample once, exact resume, damage."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import tarfile
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from xdet.datasets import ResumableSampler, SeededDataset, ShardSampler, WebShardsDataset
from xdet.datasets.files import tar_shards
from xdet.datasets.order import samplers
from xdet.datasets.order.broken import BrokenSampleError

PIPELINE = [
    dict(type='LoadXDetImage'),
    dict(type='ChooseCaption', with_nouns=False),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='PackXDetInputs', segments=False),
]
SIZES = (4, 1, 6, 2)
TOTAL = sum(SIZES)


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(number, number + 12, dtype=np.uint8).reshape(2, 2, 3)).save(buffer, 'PNG')
    return buffer.getvalue()


def write_shard(path: Path, files: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, 'w') as shard:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))


def sample_files(number: int) -> list[tuple[str, bytes]]:
    meta = json.dumps(dict(caption=f'json {number}', url='x')).encode()
    return [
        (f'{number:09d}.png', png(number)),
        (f'{number:09d}.txt', f'text {number}'.encode()),
        (f'{number:09d}.json', meta),
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    numbers = itertools.count()
    for shard, size in enumerate(SIZES):
        files = [file for number in itertools.islice(numbers, size) for file in sample_files(number)]
        write_shard(tmp_path / f'{shard:05d}.tar', files)
    return tmp_path


def make(root: Path, **more) -> WebShardsDataset:
    return WebShardsDataset(**{**dict(shards='*.tar', data_root=str(root), pipeline=PIPELINE), **more})


def draws(dataset, sampler_type: type, rank: int, ranks: int, workers: int, count: int, start: int, monkeypatch):
    """Captions and pixels that one rank sees."""
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, ranks))
    seeded = SeededDataset(dataset)
    sampler = sampler_type(seeded, seed=5, start=start)
    loader = DataLoader(
        seeded,
        batch_size=1,
        sampler=sampler,
        num_workers=workers,
        collate_fn=lambda batch: batch[0],
        persistent_workers=False,
    )
    iterator = iter(loader)
    items = [next(iterator) for _ in range(count)]
    return [(item['data_samples'].caption, item['inputs'].flatten().tolist()) for item in items]


@pytest.mark.parametrize('sampler_type', [ResumableSampler, ShardSampler])
@pytest.mark.parametrize('ranks', [1, 2, 3])
@pytest.mark.parametrize('workers', [0, 1, 2])
def test_every_sample_once_per_epoch(root: Path, sampler_type, ranks: int, workers: int, monkeypatch) -> None:
    dataset = make(root)
    seen: Counter = Counter()
    for rank in range(ranks):
        count = len(range(rank, 2 * TOTAL, ranks))  # this rank's share of two epochs
        seen.update(text for text, _ in draws(dataset, sampler_type, rank, ranks, workers, count, 0, monkeypatch))
    assert seen == {f'text {number}': 2 for number in range(TOTAL)}


@pytest.mark.parametrize('sampler_type', [ResumableSampler, ShardSampler])
def test_resumes_at_the_next_sample(root: Path, sampler_type, monkeypatch) -> None:
    whole = draws(make(root), sampler_type, 1, 2, 0, 20, 0, monkeypatch)
    for stopped, workers in ((1, 0), (9, 2)):
        rest = draws(make(root), sampler_type, 1, 2, workers, 20 - stopped, stopped, monkeypatch)
        assert rest == whole[stopped:], 'same samples with the same augmentation'


def test_samples(root: Path) -> None:
    dataset = make(root)
    info = dataset.get_data_info(5)
    assert len(dataset) == TOTAL and dataset.shard_sizes == list(SIZES)
    assert info['captions'] == ('text 5',) and info['img_path'].endswith('00002.tar/000000005')
    assert info['img_bytes'] == png(5)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.get_data_info(12)['captions'] == ('text 12',)
    assert make(root, caption='json:caption').get_data_info(12)['captions'] == ('json 12',)
    assert [make(root, indices=[7, 2]).get_data_info(i)['captions'] for i in range(2)] == [('text 7',), ('text 2',)]
    assert len(make(root, indices=3)) == 3


def test_loops_end(root: Path) -> None:
    """Replacement of broken samples goes round, loops over the dataset do not."""
    dataset = make(root)
    captions = [item['data_samples'].caption for item in itertools.islice(dataset, TOTAL + 3)]
    assert captions == [f'text {number}' for number in range(TOTAL)]
    assert dataset[-1]['data_samples'].caption == captions[-1]
    assert make(root, indices=2, test_mode=True).get_data_info(-1)['captions'] == ('text 1',)


def test_shard_sampler_mixes_a_window_of_shards(root: Path) -> None:
    seeded = SeededDataset(make(root))
    shard_of = np.repeat(np.arange(4), SIZES)
    orders = [ShardSampler(seeded, seed=1, window=2).permutation(epoch) for epoch in range(5)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(TOTAL))
        visited = list(dict.fromkeys(shard_of[order].tolist()))
        half = sum(SIZES[shard] for shard in visited[:2])
        assert set(shard_of[order[:half]].tolist()) == set(visited[:2]), 'two shards at a time'
    assert len({tuple(order.tolist()) for order in orders}) == 5
    alone = shard_of[ShardSampler(seeded, seed=1, window=1).permutation(0)].tolist()
    assert len(list(itertools.groupby(alone))) == len(SIZES), 'a shard at a time'
    with pytest.raises(ValueError, match='3 samples of which 13 are in shards'):
        ShardSampler(SeededDataset(make(root, indices=3)), seed=1)


def test_index_is_kept_and_renewed(root: Path, monkeypatch) -> None:
    make(root)
    assert len(list(root.glob('*.tar.idx.json'))) == 4
    monkeypatch.setattr(tar_shards, 'index_shard', lambda path: pytest.fail(f'{path} was indexed again'))
    assert len(make(root)) == TOTAL
    monkeypatch.undo()
    write_shard(root / '00001.tar', sample_files(90) + sample_files(91))
    (root / '00002.tar.idx.json').write_text('{"version"')
    assert make(root).shard_sizes == [4, 2, 6, 2]
    assert make(root, index_dir=str(root / 'index')).shard_sizes == [4, 2, 6, 2]
    assert len(list((root / 'index').rglob('*.tar.idx.json'))) == 4


def test_shards_of_equal_names_have_indices_of_their_own(root: Path, monkeypatch) -> None:
    """img2dataset calls the first shard of every set 00000.tar."""
    for folder, number in (('a', 3), ('b', 5)):
        (root / folder).mkdir()
        write_shard(root / folder / '00000.tar', [file for n in range(number) for file in sample_files(n)])
    more = dict(shards=['a/*.tar', 'b/*.tar'], index_dir=str(root / 'index'))
    assert make(root, **more).shard_sizes == [3, 5]
    monkeypatch.setattr(tar_shards, 'index_shard', lambda path: pytest.fail(f'{path} was indexed again'))
    assert make(root, **more).shard_sizes == [3, 5]


def test_indices_choose_as_in_other_datasets(root: Path) -> None:
    """No sample twice: a number beyond the last one means all."""

    def texts(indices: object) -> list[str]:
        dataset = make(root, indices=indices)
        return [dataset.get_data_info(i)['captions'][0] for i in range(len(dataset))]

    assert texts(TOTAL + 5) == [f'text {number}' for number in range(TOTAL)]
    assert texts(-2) == [f'text {number}' for number in (TOTAL - 2, TOTAL - 1)]
    assert texts([-1, 0]) == [f'text {TOTAL - 1}', 'text 0']
    with pytest.raises(ValueError, match=f'indices of shards with {TOTAL} samples: index {TOTAL} is out of bounds'):
        make(root, indices=[0, TOTAL])


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_read_only_folder(root: Path) -> None:
    root.chmod(0o555)
    assert len(make(root)) == TOTAL


def test_broken_samples(root: Path, monkeypatch) -> None:
    files = [
        ('a.png', b'not an image'), ('a.txt', b'one'),
        ('b.png', png(1)), ('b.txt', b'caf\xe9'),
        ('c.png', png(2)), ('c.txt', b'three'),
        ('d.png', png(3)), ('d.txt', b'  '),
        ('e.png', png(4)),
        ('f.txt', b'no image'),
    ]  # fmt: skip
    write_shard(root / 'broken.tar', files)
    logged: list[str] = []
    monkeypatch.setattr('xdet.datasets.sets.web_shards.print_log', lambda message, **_: logged.append(message))
    monkeypatch.setattr('xdet.datasets.order.broken.print_log', lambda message, **_: logged.append(message))
    dataset = make(root, shards='broken.tar')
    assert len(dataset) == 4
    assert 'broken.tar: 2 samples without image or txt are left out: e, f' in logged[0]
    assert [dataset[index]['data_samples'].caption for index in range(4)] == ['three'] * 4
    assert dataset.num_broken == 6
    assert 'broken.tar/a: not an image' in logged[1] and 'broken.tar/b: caption cannot be read' in logged[2]
    assert any('broken.tar/d: caption is empty' in line for line in logged)
    with pytest.raises(BrokenSampleError, match='2 broken samples in a row'):
        make(root, shards='broken.tar', max_in_a_row=2)[0]


def test_truncated_shard(root: Path, monkeypatch) -> None:
    path = root / '00002.tar'
    whole = tar_shards.index_shard(str(path))
    begin, size = whole.samples[4][1]['png']
    logged: list[str] = []
    monkeypatch.setattr('xdet.datasets.sets.web_shards.print_log', lambda message, **_: logged.append(message))
    for cut in (begin + size // 2, begin - 100, begin + size + 10):
        path.write_bytes(path.read_bytes()[:cut])
        assert make(root).shard_sizes == [4, 1, 4, 2], 'the complete samples before the cut'
    assert any('00002.tar' in line and 'lost' in line for line in logged)


def test_unusable_shards_are_named(root: Path) -> None:
    (root / 'text.tar').write_text('hello')
    with pytest.raises(ValueError, match='text.tar: not an uncompressed tar'):
        make(root, shards='text.tar')
    with pytest.raises(FileNotFoundError, match='none-.*.tar: no such shards'):
        make(root, shards='none-*.tar')
    with pytest.raises(FileNotFoundError, match='00004.tar: shard does not exist'):
        make(root, shards='{00000..00004}.tar')
    write_shard(root / 'other.tar', [('a.mp3', b'x')])
    with pytest.raises(ValueError, match='no usable sample'):
        make(root, shards='other.tar')


def test_names_and_ranges() -> None:
    assert tar_shards.split_name('./x.y/b.seg.PNG') == ('./x.y/b', 'seg.png')
    assert tar_shards.expand_shards('{008..010}/{1..2}.tar', 'r') == [
        f'r/{number}/{part}.tar' for number in ('008', '009', '010') for part in (1, 2)
    ]


@pytest.fixture
def logged(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr('xdet.datasets.sets.web_shards.print_log', lambda message, **_: lines.append(message))
    return lines


SIDECAR = b'\x00\x05\x16\x07' + bytes(80)


def test_files_that_systems_add_are_left_out(tmp_path: Path) -> None:
    files = []
    for number in range(2):
        for name, data in sample_files(number):
            files += [(f'./._{name}', SIDECAR), (f'__MACOSX/{name}', SIDECAR), (f'./{name}', data)]
            files += [('Thumbs.db', SIDECAR), ('./desktop.ini', SIDECAR)]
    write_shard(tmp_path / '0.tar', [*files, ('.DS_Store', SIDECAR)])
    dataset = make(tmp_path)
    assert [dataset.get_data_info(i)['captions'] for i in range(len(dataset))] == [('text 0',), ('text 1',)]


def test_other_suffixes_are_listed_and_can_be_named(tmp_path: Path) -> None:
    write_shard(tmp_path / '0.tar', [('s0.input.PNG', png(0)), ('s0.outputs.txt', b'a box')])
    with pytest.raises(ValueError, match=r'suffixes there are: input.png, outputs.txt'):
        make(tmp_path)
    dataset = make(tmp_path, image='input.png', caption='outputs.txt')
    assert dataset.get_data_info(0)['captions'] == ('a box',)


@pytest.mark.parametrize('suffix', ['bmp', 'tif', 'gif'])
def test_images_of_all_kinds(tmp_path: Path, suffix: str) -> None:
    write_shard(tmp_path / '0.tar', [(f'a.{suffix}', png(0)), ('a.txt', b'a box')])
    assert len(make(tmp_path)) == 1


def test_equal_keys_in_a_row_are_kept_apart(tmp_path: Path, logged: list[str]) -> None:
    write_shard(tmp_path / '0.tar', [('a.png', png(0)), ('a.txt', b'one'), ('a.png', png(1)), ('a.txt', b'two')])
    dataset = make(tmp_path)
    assert [dataset.get_data_info(i)['captions'][0] for i in range(len(dataset))] == ['one', 'two']
    assert dataset.get_data_info(1)['img_bytes'] == png(1)
    assert '1 samples have the key of the one before' in ''.join(logged)


@pytest.mark.parametrize('damage', ['header', 'joined'])
def test_samples_after_a_damaged_header_are_reported(root: Path, logged: list[str], damage: str) -> None:
    path = root / '00002.tar'
    data = path.read_bytes()
    if damage == 'header':
        start = data.index(b'000000007.png')
        data = data[:start] + b'\xff' * 512 + data[start + 512 :]
    else:
        data += (root / '00000.tar').read_bytes()
    path.write_bytes(data)
    index = tar_shards.index_shard(str(path))
    assert ('damaged after 000000006 (no header' in index.damage) == (damage == 'header')
    assert ('more follows' in index.damage) == (damage == 'joined')
    make(root)
    assert 'samples after it are lost' in ''.join(logged)


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    write_shard(tmp_path / '0.tar', [('b\udcff.png', png(0)), ('b\udcff.txt', b'a box')])
    info = make(tmp_path).get_data_info(0)
    assert info['img_id'].endswith('0.tar/b\\udcff') and info['captions'] == ('a box',)
    assert make(tmp_path).get_data_info(0)['img_id'] == info['img_id']  # from the index


@pytest.mark.parametrize(
    'change',
    [
        lambda content: '[' * 100_000,
        lambda content: '[]',
        lambda content: {**content, 'samples': 5},
        lambda content: {**content, 'samples': [['a', dict(png=[0, 10**12], txt=[0, 5])]]},
        lambda content: {**content, 'samples': [['a', dict(png=[-5, 10], txt=[0, 5])]]},
        lambda content: {**content, 'samples': [[5, {}]]},
        lambda content: {**content, 'samples': [['a', dict(png=['0', 5])]]},
        lambda content: {key: value for key, value in content.items() if key != 'damage'},
        lambda content: {**content, 'damage': 5},
    ],
)
def test_index_files_that_cannot_be_meant_are_made_anew(root: Path, change) -> None:
    right = [make(root).get_data_info(i)['captions'] for i in range(TOTAL)]
    file = root / '00000.tar.idx.json'
    content = change(json.loads(file.read_text()))
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    dataset = make(root)
    assert [dataset.get_data_info(i)['captions'] for i in range(len(dataset))] == right


def test_pipes_in_place_of_files(root: Path) -> None:
    os.mkfifo(root / '00000.tar.idx.json')
    assert len(make(root)) == TOTAL
    os.mkfifo(root / '9.tar')
    with pytest.raises(FileNotFoundError, match='9.tar: is a folder, pipe or device'):
        make(root)


def test_ranks_index_only_once_and_leave_nothing(root: Path, monkeypatch) -> None:
    counted = []
    index_shard = tar_shards.index_shard
    monkeypatch.setattr(tar_shards, 'index_shard', lambda path: counted.append(path) or index_shard(path))
    paths = [str(path) for path in sorted(root.glob('*.tar'))]
    with tar_shards._alone(root / '.indexing.lock'):
        waiting = threading.Thread(target=lambda: list(tar_shards.load_indices(paths)))
        waiting.start()
        for path in paths:  # what the other process does meanwhile
            tar_shards.load_index(path)
    waiting.join()
    assert sorted(counted) == paths and not (root / '.indexing.lock').exists()


@pytest.mark.parametrize(
    'shards, message',
    [
        ('{00000..99999999}.tar', 'that is 100000000 names'),
        ('{0..9999}/{0..9999}.tar', 'that is 100000000 names'),
        ('{5..1}.tar', r'range {5..1} has no numbers'),
        (5, 'accepted are a path'),
        ([5], 'accepted are a path'),
    ],
)
def test_lists_of_shards_that_cannot_be_meant(shards, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tar_shards.expand_shards(shards)


def test_file_with_brackets_in_its_name(tmp_path: Path) -> None:
    (tmp_path / 'a[1].tar').touch()
    assert tar_shards.expand_shards('a[1].tar', str(tmp_path)) == [str(tmp_path / 'a[1].tar')]
