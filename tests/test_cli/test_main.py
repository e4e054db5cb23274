"""The command ``xdet``: what it lists, how it hands over, how fast it answers."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xdet.cli.commands import scripts
from xdet.cli.commands.completion import whole_parser
from xdet.cli.errors import exit_code
from xdet.cli.main import COMMANDS, main, usage
from xdet.version import __version__

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 0.3


@pytest.mark.parametrize('words', [[], ['-h'], ['--help'], ['help']])
def test_help_lists_every_command(words: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed == usage() and 'exit codes: 0' in printed
    assert max(map(len, printed.splitlines())) <= 120
    for name, command in COMMANDS.items():
        assert f'  {name} ' in printed and command.help in printed


@pytest.mark.parametrize(
    'words, told',
    [
        (['predict', 'a.jpg', '--out-dir', ''], '--out-dir is empty'),
        (['predict', 'a.jpg', '--weights='], '--weights is empty'),
        (['data', 'check', ' '], 'argument 2 is empty'),
    ],
)
def test_empty_arguments(words: list[str], told: str, capsys: pytest.CaptureFixture) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line and line.startswith(f'error: xdet {words[0]}: ')


def test_version(capsys: pytest.CaptureFixture) -> None:
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'xdet {__version__}\n'


@pytest.mark.parametrize(
    'words, told',
    [
        (['preddict'], 'did you mean predict?'),
        (['--task', 'panoptic'], "no command '--task'"),
        (['convert', 'ade2k'], 'did you mean ade20k?'),
        (['convert', '../train'], 'accepted are'),
        (['models', 'xdecoder_focal_t'], 'did you mean xdecoder_focal-t'),
        (['search', '--index', 'nothing', '--text', 'x'], "index 'nothing' does not exist"),
        (['demo', 'nothing.png'], 'nothing.png'),
    ],
)
def test_mistakes_are_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert not captured.out
    (line,) = captured.err.splitlines()
    assert line.startswith('error: ') and told in line


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_has_a_command_line(name: str, capsys: pytest.CaptureFixture) -> None:
    command = COMMANDS[name]
    variant = (command.variant,) if command.variant else ()
    parser = importlib.import_module(f'xdet.cli.commands.{command.module}').parser(f'xdet {name}', *variant)
    assert isinstance(parser, argparse.ArgumentParser) and parser.prog == f'xdet {name}'
    try:
        code = main([name, '--help'])
    except SystemExit as ended:
        code = ended.code
    assert code == 0 and 'usage: ' in capsys.readouterr().out


def test_answers_at_once() -> None:
    """In processor time, which other programs of the machine do not change; 0.06 s where 0.3 s are allowed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, '-m', 'xdet', '--help'], capture_output=True, text=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0 and result.stdout == usage() and not result.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS


def test_nothing_is_imported_before_the_command_is_known() -> None:
    code = "import sys, xdet.cli.main; print(*{'torch', 'numpy', 'mmengine', 'cv2', 'rich'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0 and not result.stdout.strip()


def test_models(capsys: pytest.CaptureFixture) -> None:
    assert main(['models', '*focal-t*', '--json']) == 0
    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)}
    assert (
        rows['xdecoder_focal-t']['weights'][0].startswith('https://')
        and Path(rows['xdecoder_focal-t']['config']).is_file()
    )
    for name in ('xdecoder_focal-nano_scenes-joint', 'scenes'):
        assert main(['models', name]) == 0
        assert '--model scenes' in capsys.readouterr().out


def test_info_is_complete_and_names_no_folder_of_the_user(capsys: pytest.CaptureFixture) -> None:
    assert main(['info', '--json']) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts['xdet'] == __version__ and all(facts['packages'].values())
    assert 'scenes' in facts['embedded_models']
    assert main(['info']) == 0
    printed = capsys.readouterr().out
    assert 'torch' in printed and str(Path.home()) not in printed and str(ROOT) not in printed


def test_every_converter_is_listed_and_runs(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(['convert', '--help']) == 0
    printed = capsys.readouterr().out
    files = {path.stem for path in (ROOT / 'tools' / 'dataset_converters').glob('*.py')}
    assert files < set(scripts.find_scripts('convert')) and all(f'  {name} ' in printed for name in files)
    assert main(['convert', 'generate-scenes', str(tmp_path), '--num', '1', '--size', '64']) == 0
    assert list(tmp_path.rglob('*.png'))
    assert main(['download', '--list']) == 0
    assert 'coco2017' in capsys.readouterr().out


def test_completion_knows_every_option(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    pytest.importorskip('shtab', reason='shtab is not installed (pip install -r requirements/completion.txt)')
    actions = whole_parser()._subparsers._group_actions[0]
    assert set(actions.choices) == set(COMMANDS)
    assert main(['completion', 'bash']) == 0
    script = capsys.readouterr().out
    assert all(option in script for option in ('--num-beams', '--cfg-options', '--decoder-weight', 'predict'))
    if bash := shutil.which('bash'):
        (tmp_path / 'xdet.bash').write_text(script)
        code = f'source {tmp_path}/xdet.bash; COMP_WORDS=(xdet predict --num-b); COMP_CWORD=2; _shtab_xdet; '
        result = subprocess.run([bash, '-c', code + 'echo "${COMPREPLY[@]}"'], capture_output=True, text=True)
        assert result.stdout.strip() == '--num-beams', result


def test_completion_without_its_package_is_one_line(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'shtab', None)
    assert main(['completion', 'bash']) == 2
    assert 'pip install "xdet[completion]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    'error, code, told',
    [
        (ValueError('no\nsuch   thing'), 2, 'error: no such thing\n'),
        (ImportError('needs x'), 2, 'error: needs x\n'),
        (KeyboardInterrupt(), 130, 'interrupted\n'),
    ],
)
def test_exit_codes(error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture) -> None:
    def body() -> int:
        raise error

    assert exit_code(body) == code
    assert capsys.readouterr().err == told


def test_tracebacks_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> int:
        raise ValueError('x')

    with pytest.raises(ValueError, match='x'):
        exit_code(body, debug=True)
    monkeypatch.setenv('XDET_DEBUG', '1')
    with pytest.raises(ValueError, match='x'):
        exit_code(body)


@pytest.mark.parametrize(
    'face',
    ['tools/train.py', 'tools/test.py', 'tools/zeroshot_suite.py', 'demo/image_demo.py', 'demo/retrieval_demo.py'],
)
def test_scripts_are_faces_without_code_of_their_own(face: str) -> None:
    lines = (ROOT / face).read_text().splitlines()
    assert not [line for line in lines if line.startswith(('def ', 'class '))]
    assert any(line.startswith('from xdet.cli.') for line in lines)
