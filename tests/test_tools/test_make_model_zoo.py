"""The model zoo: metafiles are sound, the generated tables are up to date, numbers keep their column."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from tiny.tools import run_tool

from xdet.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
FILES = ('metafile.yml', 'metafile_no_weights.yml', 'README.md')
FOLDER = Path('configs/xdecoder')


def run(root: Path, *options: str) -> None:
    run_tool('misc/make_model_zoo', '--root', root, *options)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the tool reads and writes."""
    shutil.copytree(ROOT / FOLDER, tmp_path / FOLDER)
    shutil.copy(ROOT / 'model-index.yml', tmp_path)
    return tmp_path


def entries() -> list[dict]:
    files = [yaml.safe_load((ROOT / FOLDER / name).read_text()) for name in FILES[:2]]
    return [model for content in files for model in content['Models']]


def edit(checkout: Path, name: str, old: str, new: str) -> None:
    path = checkout / FOLDER / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_committed_files_are_up_to_date() -> None:
    run(ROOT, '--check')


def test_parameters_are_those_of_the_models() -> None:
    stated: dict[str, set[int]] = {}
    for entry in entries():
        if 'Parameters' in entry['Metadata']:
            stated.setdefault(entry['Config'], set()).add(entry['Metadata']['Parameters'])
    counted = {}
    for config in stated:
        with torch.device('meta'):
            model = MODELS.build(Config.fromfile(str(ROOT / config)).model)
        counted[config] = {sum(parameter.numel() for parameter in model.parameters())}
    assert counted == stated


def test_mim_gets_entries_with_weights_only() -> None:
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert index['Import'] == ['configs/xdecoder/metafile.yml']
    assert all('Weights' not in model for model in yaml.safe_load((ROOT / FOLDER / FILES[1]).read_text())['Models'])


def test_change_is_found_and_written(checkout: Path, capsys: pytest.CaptureFixture) -> None:
    edit(checkout, 'metafile.yml', 'PQ: 50.8', 'PQ: 50.9')
    with pytest.raises(SystemExit, match='README.md: out of date; run python tools/misc/make_model_zoo.py'):
        run(checkout, '--check')
    assert '50.9' not in (checkout / FOLDER / 'README.md').read_text(), '--check writes nothing'
    run(checkout)
    assert '50.9 / 39.5 / 62.4' in (checkout / FOLDER / 'README.md').read_text()
    assert 'wrote configs/xdecoder/README.md' in capsys.readouterr().out
    run(checkout, '--check')
    (checkout / 'model-index.yml').unlink()
    with pytest.raises(SystemExit, match='model-index.yml: out of date'):
        run(checkout, '--check')


def test_own_numbers_have_their_own_column(checkout: Path) -> None:
    def cells(text: str) -> list[str]:
        return re.search(r'^\| xdecoder_focal-l \| COCO \|(.*)\|$', text, re.MULTILINE)[1].split('|')

    before = cells((checkout / FOLDER / 'README.md').read_text())
    assert [cell.strip() for cell in before[1:3]] == ['56.5 / 46.7 / 67.2', '']
    path = checkout / FOLDER / 'metafile.yml'
    content = yaml.safe_load(path.read_text())
    model = next(model for model in content['Models'] if model['Name'] == 'xdecoder_focal-l')
    own = dict(Task=model['Results'][0]['Task'], Dataset='COCO', Metrics={'PQ': 56.41}, Source='docs/results.md')
    path.write_text(yaml.safe_dump({**content, 'Models': [{**model, 'Measured': [own]}]}, sort_keys=False))
    run(checkout)
    after = cells((checkout / FOLDER / 'README.md').read_text())
    assert [cell.strip() for cell in after[1:3]] == ['56.5 / 46.7 / 67.2', '56.41 / - / -']
    assert '[results.md](../../docs/results.md)' in after[3]


@pytest.mark.parametrize(
    ('name', 'old', 'new', 'message'),
    [
        ('metafile.yml', 'xdecoder_focal-t.py', 'xdecoder_focal-q.py', 'its Config .*focal-q.py does not exist'),
        ('metafile.yml', '    Weights: https', '    Weigths: https', "unknown key 'Weigths'"),
        ('metafile.yml', '    Weights: https', '    Weights: ftp', 'Weights must be .*metafile_no_weights.yml'),
        ('metafile.yml', 'PQ: 50.8', 'PQ: about 50', "Metrics of COCO must be numbers: .*'about 50'"),
        (
            'metafile.yml',
            '        Source: X-Decoder README, v2.0\n',
            '',
            'a result needs Task, Dataset',
        ),
        ('metafile.yml', 'Name: xdecoder_focal-t\n', 'Name: xdecoder_focal-l\n', 'xdecoder_focal-l is there twice'),
        ('metafile.yml', 'Models:', 'Models: [', 'not valid YAML'),
        ('metafile.yml', 'Dataset: ADE20K-150\n', 'Dataset: COCO\n', 'two entries of one data set and task'),
        ('README.md', '<!-- end of results -->', '', 'needs the lines'),
    ],
)
def test_mistakes_end_in_one_line(checkout: Path, name: str, old: str, new: str, message: str) -> None:
    edit(checkout, name, old, new)
    if 'two entries' in message:
        edit(checkout, name, '- Task: Semantic Segmentation', '- Task: Panoptic Segmentation')
    with pytest.raises(SystemExit, match=message) as caught:
        run(checkout)
    assert str(caught.value).startswith('error: ') and '\n' not in str(caught.value)


def test_missing_metafile(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match='metafile.yml'):
        run(tmp_path)
