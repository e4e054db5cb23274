"""Lists of image-text pairs in all their forms, and broken images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny.mutation import mutated
from torch.utils.data import DataLoader

from xdet.datasets import ImageReadError, ImageTextDataset
from xdet.datasets.files.pair_lists import read_pairs
from xdet.datasets.order import broken

ROWS = [
    dict(image='a.png', caption=' A red\tball. '),
    dict(image='sub/b.png', caption='Zwei "große" Bälle, rot.'),
    dict(image='a.png', caption='The ball.'),
    dict(image='c.png', caption='  '),
]
EXPECTED = [('a.png', ('A red ball.', 'The ball.')), ('sub/b.png', ('Zwei "große" Bälle, rot.',))]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / 'img' / 'sub').mkdir(parents=True)
    for number, name in enumerate(('a', 'sub/b', 'c')):
        Image.fromarray(np.full((4, 5, 3), 40 * number, dtype=np.uint8)).save(tmp_path / 'img' / f'{name}.png')
    return tmp_path


def write(root: Path, kind: str) -> str:
    path = root / f'list.{kind}'
    if kind == 'json':
        path.write_text(json.dumps(ROWS))
    elif kind == 'jsonl':
        path.write_text('\n\n'.join(json.dumps(row) for row in ROWS))
    elif kind == 'tsv':
        lines = [f'{row["image"]}\t{" ".join(row["caption"].split())}' for row in ROWS]
        path.write_text('\n'.join(['image\tcaption', *lines]), encoding='utf-8-sig')
    elif kind == 'csv':
        quoted = [f'{row["image"]},"{row["caption"].replace(chr(34), 2 * chr(34))}"' for row in ROWS]
        path.write_text('\r\n'.join(['image,caption', *quoted]), encoding='utf-8')
    else:
        parquet = pytest.importorskip('pyarrow.parquet', reason='Parquet needs pyarrow (requirements/data.txt)')
        pyarrow = pytest.importorskip('pyarrow')
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    return str(path)


@pytest.mark.parametrize('kind', ['json', 'jsonl', 'csv', 'tsv', 'parquet'])
def test_lists(images: Path, kind: str) -> None:
    pairs, dropped = read_pairs(write(images, kind))
    assert [pair[:2] for pair in pairs] == EXPECTED and dropped == 1
    dataset = ImageTextDataset(
        ann_file=write(images, kind), data_root=str(images), data_prefix=dict(img='img'), serialize_data=False
    )
    assert len(dataset) == 2
    info = dataset.get_data_info(1)
    assert info['captions'] == EXPECTED[1][1] and info['img_id'] == 'sub/b.png' and Path(info['img_path']).is_file()


@pytest.mark.parametrize('kind', ['jsonl', 'csv', 'tsv'])
def test_only_line_feeds_end_rows(tmp_path: Path, kind: str) -> None:
    """Captions from the web have other separators, which JSON need not escape."""
    caption = 'a\u2028b\x85c'
    row = json.dumps(dict(image='a.png', caption=caption), ensure_ascii=False)
    mark = '\t' if kind == 'tsv' else ','
    text = f'{row}\r\n{row}\n' if kind == 'jsonl' else f'image{mark}caption\na.png{mark}{caption}\n'
    (tmp_path / f'list.{kind}').write_text(text, encoding='utf-8', newline='')
    [pair], dropped = read_pairs(str(tmp_path / f'list.{kind}'))
    assert set(pair.captions) == {'a b c'} and not dropped


def test_coco_and_karpathy(tmp_path: Path) -> None:
    coco = dict(
        images=[dict(id=7, file_name='x.jpg'), dict(id=8, file_name='y.jpg')],
        annotations=[dict(image_id=8, caption='b'), dict(image_id=7, caption='a'), dict(image_id=8, caption='c')],
    )
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(coco))
    assert read_pairs(str(path))[0] == [('y.jpg', ('b', 'c'), 8), ('x.jpg', ('a',), 7)]
    coco['annotations'][0]['image_id'] = 9
    path.write_text(json.dumps(coco))
    with pytest.raises(ValueError, match='coco.json: an annotation is of image 9'):
        read_pairs(str(path))
    karpathy = [
        dict(filepath='val2014', filename=f'{n}.jpg', cocoid=n, split=split, sentences=[dict(raw=f'text {n}')])
        for n, split in enumerate(('train', 'restval', 'test'))
    ]
    path.write_text(json.dumps(dict(images=karpathy)))
    pairs, _ = read_pairs(str(path), splits=('train', 'restval'))
    assert pairs == [('val2014/0.jpg', ('text 0',), 0), ('val2014/1.jpg', ('text 1',), 1)]
    with pytest.raises(ValueError, match='no rows of split dev; its splits are train, restval, test'):
        read_pairs(str(path), splits=('dev',))


def test_several_captions_in_one_row_and_other_columns(tmp_path: Path) -> None:
    path = tmp_path / 'list.jsonl'
    path.write_text(json.dumps(dict(file='p.jpg', says=['one', '', 'two'], caption='unused')))
    assert read_pairs(str(path), 'file', 'says')[0] == [('p.jpg', ('one', 'two'), 'p.jpg')]
    with pytest.raises(ValueError, match='no column image or .*it has file, says, caption. .*image_column='):
        read_pairs(str(path))


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('list.jsonl', '{"image": "a", "caption": "b"}\n{oops', 'list.jsonl, line 2: not valid JSON'),
        ('list.jsonl', '[1]', 'line 1: not an object'),
        ('list.json', '{"a": 1}', 'neither a COCO captions file nor a list'),
        ('list.csv', b'\xff\xfe\xfa', 'not UTF-8 text'),
        ('list.csv', 'image,caption\n0.png,a box, red\n', 'list.csv, line 2: has 3 cells, but there are 2 columns'),
        ('list.csv', 'image,caption\n0.png,"a\nbox"\n1.png,b,c\n', 'list.csv, line 4: has 3 cells'),
        ('list.csv', 'image,caption\n0.png,"a box\n1.png,b\n', 'list.csv, line 2: not a table'),
        ('list.csv', 'image,caption\n0.png,"a box\n1.png,"b"\n', 'list.csv, line 2: not a table'),
        ('list.csv', 'image,caption,caption\n0.png,a,b\n', r'the column\(s\) caption appear more than once'),
        ('list.csv', 'image,caption\n0.png,\n', r'1 row\(s\) are left out: 1 without caption.*nothing is left'),
        ('list.tsv', 'image\tcaption\n0.png\ta\tb\n', 'list.tsv, line 2: has 3 cells'),
        ('list.json', '[' * 100_000, 'list.json: not valid JSON'),
        ('list.jsonl', '[' * 100_000, 'list.jsonl, line 1: not valid JSON'),
        (
            'list.jsonl',
            '{"image": {"bytes": "x", "path": null}, "caption": "b"}',
            "row 1: column 'image' holds an object",
        ),
        ('list.jsonl', '{"image": 5, "caption": "b"}', "row 1: column 'image' holds 5, not the path"),
        ('list.jsonl', '{"image": "a", "caption": 5}', "row 1: column 'caption' holds 5, not a text"),
        ('list.jsonl', '{"image": "a", "caption": "b", "img_id": []}', "row 1: 'img_id' is"),
        (
            'list.jsonl',
            '{"image": "a", "caption": "b", "img_id": 1}\n{"image": "c", "caption": "d", "img_id": 1}',
            'row 2: the image id 1 appears more than once',
        ),
        ('list.json', '{"images": [{"id": 1}], "annotations": [{"image_id": 1}]}', "image 1: 'file_name' is missing"),
        ('list.json', '{"images": [{"sentences": []}]}', "image 0: 'filename' is missing"),
        ('list.parquet', b'PAR1' * 9, 'list.parquet: not a Parquet file'),
        ('list.txt', '', r'accepted are .json, .jsonl, .csv, .tsv, .parquet'),
    ],
)
def test_unusable_lists_are_named(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        read_pairs(str(path))
    assert str(path) in str(caught.value) and len(str(caught.value)) < 600
    with pytest.raises(FileNotFoundError, match='nowhere.csv: list does not exist'):
        read_pairs('nowhere.csv')


def pairs_cfg(root: Path, **more) -> dict:
    pipeline = [dict(type='LoadXDetImage'), dict(type='PackXDetInputs', segments=False)]
    (root / 'pairs.jsonl').write_text(
        '\n'.join(json.dumps(dict(image=f'{name}.png', caption=name)) for name in ('a', 'sub/b', 'c'))
    )
    prefix = dict(img='img')
    return dict(
        ann_file='pairs.jsonl', data_root=str(root), data_prefix=prefix, serialize_data=False, pipeline=pipeline, **more
    )


@pytest.mark.parametrize('num_workers', [0, 2])
def test_broken_images_are_replaced_and_counted(images: Path, num_workers: int, monkeypatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(broken, 'print_log', lambda message, **_: logged.append(message))
    (images / 'img' / 'c.png').write_bytes(b'GIF89a')
    (images / 'img' / 'a.png').write_bytes(b'')
    dataset = ImageTextDataset(**pairs_cfg(images))
    loader = DataLoader(dataset, batch_size=1, num_workers=num_workers, collate_fn=lambda batch: batch[0])
    samples = [item['data_samples'] for item in loader]
    assert [sample.img_id for sample in samples] == ['sub/b.png'] * 3
    assert all('gt_segments' not in sample for sample in samples)
    # a -> b; b; c -> a -> b
    assert dataset.num_broken == 3
    if not num_workers:  # workers log in their own process
        assert len(logged) == 3 and 'a.png: file is empty; replaced by the next sample (1 rep' in logged[0]
        assert 'c.png: not an image' in logged[1] and '3 in all' in logged[2]


def test_only_broken_images_are_an_error(images: Path) -> None:
    for name in ('a', 'sub/b', 'c'):
        (images / 'img' / f'{name}.png').write_bytes(b'')
    with pytest.raises(broken.BrokenSampleError, match='3 broken samples in a row, the last: .*c.png: file is empty'):
        ImageTextDataset(**pairs_cfg(images))[0]
    for strict in (dict(broken_images='error'), dict(test_mode=True)):
        with pytest.raises(ImageReadError, match='^[^ ]*a.png: file is empty'):
            ImageTextDataset(**pairs_cfg(images, **strict))[0]
    with pytest.raises(ValueError, match="accepted are 'replace' and 'error'"):
        ImageTextDataset(**pairs_cfg(images, broken_images='skip'))


def test_real_captions(shared_data: Path) -> None:
    root = shared_data / 'captions_sample' / 'flickr8k_224'
    dataset = ImageTextDataset(
        ann_file='captions.json', data_root=str(root), data_prefix=dict(img='images'), serialize_data=False
    )
    assert len(dataset) == 600 and all(len(dataset.get_data_info(index)['captions']) == 5 for index in range(600))


def test_images_inside_of_parquet_are_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    table = pyarrow.table(dict(image=[dict(bytes=b'x' * 10_000, path='0.png')], text=['a box']))
    parquet.write_table(table, tmp_path / 'list.parquet')
    with pytest.raises(
        ValueError, match=r"row 1: column 'image' holds an object with the keys bytes, path.*write them"
    ):
        read_pairs(str(tmp_path / 'list.parquet'))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(['records', 'coco', 'karpathy']))
def test_mutated_lists_load_or_are_named(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    valid = dict(
        records=[dict(image='a.png', caption='a'), dict(image='b.png', caption=['b', 'c'], img_id=4, split='train')],
        coco=dict(images=[dict(id=7, file_name='x.jpg')], annotations=[dict(image_id=7, caption='a')]),
        karpathy=dict(images=[dict(filename='a.jpg', cocoid=5, split='train', sentences=[dict(raw='text')])]),
    )[kind]
    path = tmp_path / 'list.json'
    path.write_text(json.dumps(mutated(valid, data)))
    try:
        read_pairs(str(path), splits=data.draw(st.sampled_from([None, ('train',)])))
    except ValueError as error:
        assert str(path) in str(error) and '\n' not in str(error)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet='ab,"\n\r \t', max_size=40), kind=st.sampled_from(['csv', 'tsv']))
def test_any_table_loads_or_is_named(tmp_path: Path, text: str, kind: str) -> None:
    path = tmp_path / f'list.{kind}'
    mark = dict(csv=',', tsv='\t')[kind]
    path.write_bytes(f'image{mark}caption\n{text}\n'.encode())
    try:
        read_pairs(str(path))
    except ValueError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('a.csv', 'image;caption\n0.png;a box, "red"\n'.replace('"red"', 'red')),
        ('a.csv', '\ufeff"image";"caption"\r\n"0.png";"a box, red"\r\n'),
        ('a.csv', 'image\tcaption\n0.png\ta box, red\n'),
        ('a.csv', 'sep=;\r\nimage;caption\r\n0.png;a box, red\r\n'),
        ('a.csv', 'Image,CAPTION\n0.png,"a box, red"\n'),
        ('a.tsv', 'image,caption\n0.png,"a box, red"\n'),
        ('a.tsv', '"image"\t"caption"\n"0.png"\t"a box,\nred"\n'),
    ],
)
def test_delimiters_and_headers_of_spreadsheets(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding='utf-8', newline='')
    [pair], dropped = read_pairs(str(tmp_path / name))
    assert pair[:2] == ('0.png', ('a box, red',)) and not dropped


def test_quotation_marks_in_tables_with_tabs(tmp_path: Path) -> None:
    path = tmp_path / 'a.tsv'
    path.write_text('image\tcaption\n0.png\t"a ""red"" box"\n0.png\ta 5" pipe\n0.png\t"Hello"\n')
    [pair], _ = read_pairs(str(path))
    assert pair.captions == ('a "red" box', 'a 5" pipe', '"Hello"')
    path.write_text('image\tcaption\n0.png\t"a box\nred"\n')
    with pytest.raises(ValueError, match='a.tsv, line 3: ends a text in quotation marks'):
        read_pairs(str(path))


@pytest.mark.parametrize('text', ['', 'image,caption\n'])
def test_lists_without_rows(tmp_path: Path, text: str) -> None:
    (tmp_path / 'a.csv').write_text(text)
    with pytest.raises(ValueError, match='a.csv: the list has no rows'):
        read_pairs(str(tmp_path / 'a.csv'))


def test_several_columns_that_differ_in_case(tmp_path: Path) -> None:
    (tmp_path / 'a.csv').write_text('Image,IMAGE,caption\n0.png,1.png,a\n')
    with pytest.raises(ValueError, match='it has Image, IMAGE, caption'):
        read_pairs(str(tmp_path / 'a.csv'))
