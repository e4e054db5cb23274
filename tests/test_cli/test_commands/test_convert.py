"""xdet convert between formats, and the config that it prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.cli.main import main
from xdet.datasets.exchange import AnnotatedSet, write_annotations
from xdet.io import warnings


def test_from_one_format_into_another(
    annotated: AnnotatedSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    write_annotations(annotated, 'labelme', tmp_path / 'in')
    out = tmp_path / 'out'
    assert main(['convert', str(tmp_path / 'in'), '--to', 'coco', str(out)]) == 0
    printed = capsys.readouterr().out
    assert '4 images, 9 segments of 4 classes' in printed
    config = printed[printed.index('# out.py') :]
    assert len(config.splitlines()) <= 10 and {path.name for path in out.iterdir()} == {
        'train.json',
        'val.json',
        'images',
    }
    (tmp_path / 'out.py').write_text(config)

    from mmengine.registry import init_default_scope

    from xdet.model_zoo import load_config
    from xdet.registry import DATASETS

    init_default_scope('xdet')
    dataset = load_config(str(tmp_path / 'out.py')).val_dataloader.dataset
    built = DATASETS.build(dict(dataset, pipeline=[]))
    assert len(built) == 2 and built.metainfo['classes'][0] == 'ring é'


def test_images_of_another_size_are_told(
    annotated: AnnotatedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(warnings, 'warn', said.append)
    write_annotations(annotated, 'labelme', tmp_path / 'in')
    path, broken = sorted((tmp_path / 'in').rglob('*.png'))[:2]
    broken.write_bytes(b'no image')
    Image.fromarray(np.zeros((5, 4, 3), np.uint8)).save(path)
    assert main(['convert', str(tmp_path / 'in'), '--to', 'coco', str(tmp_path / 'out')]) == 0
    wrong = f'{path.name}: 64x97 annotated, 4x5 in the file'
    assert said == [f'2 images are damaged or have another size than annotated, first {wrong}']


def test_divided_on_the_way(annotated: AnnotatedSet, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_annotations(annotated, 'png', tmp_path / 'in')
    words = ['convert', str(tmp_path / 'in'), str(tmp_path / 'out'), '--to', 'yolo-seg', '--val', '0.5']
    assert main([*words, '--group-by', r'(clip\d)']) == 0
    found = {path.parent.name: set() for path in (tmp_path / 'out' / 'labels').glob('*/*.txt')}
    for path in (tmp_path / 'out' / 'labels').glob('*/*.txt'):
        found[path.parent.name].add(path.stem[:5])
    assert found.keys() == {'train', 'val'} and not found['train'] & found['val']


@pytest.mark.parametrize(
    'words, told',
    [
        (['IN', 'OUT', '--to', 'nothing'], "format 'nothing' is unknown; accepted are coco"),
        (['IN', 'OUT', '--from', 'coco', '--to', 'voc'], 'has no files .json'),
        (['gone', 'OUT', '--to', 'voc'], 'gone: does not exist'),
        (['IN', 'IN', '--to', 'voc'], 'not empty'),
        (['IN', 'OUT', '--to', 'voc', '--val', '2'], '--val is 2'),
        (['IN', 'OUT', '--to', 'voc', '--group-by', 'folder'], 'give both'),
        (['IN', 'OUT', '--to', 'voc', '--images', 'gone'], "--images 'gone' is no folder"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str],
    told: str,
    annotated: AnnotatedSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    small = AnnotatedSet(annotated.names, annotated.images[:2])
    write_annotations(small, 'cvat', tmp_path / 'IN')
    assert main(['convert', *(str(tmp_path / word) if word in ('IN', 'OUT') else word for word in words)]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith('error: ') and told in line and not (tmp_path / 'OUT').exists()
