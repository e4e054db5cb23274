"""How programs begin and end; the streams are those of real processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xdet.cli.main import main
from xdet.cli.running import run_program

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = [path for folder in ('tools', 'demo') for path in sorted((ROOT / folder).rglob('*.py'))]


def test_every_program_runs_through_here() -> None:
    """So all of them refuse empty arguments, and end in one line where standard output takes nothing."""
    programs = [path for path in PROGRAMS if "if __name__ == '__main__':" in path.read_text()]
    assert len(programs) > 40
    for path in programs:
        assert path.read_text().endswith("\n\nif __name__ == '__main__':\n    sys.exit(run_program(main))\n"), path


def stopped() -> int:
    raise KeyboardInterrupt


def swallowed() -> int:
    try:
        raise KeyboardInterrupt
    except BaseException:  # as MMEngine does while it formats a config
        raise SyntaxError('check the syntax of the config') from None


def unwritable() -> int:
    raise OSError(28, 'No space left on device')


def unread() -> int:
    raise BrokenPipeError


@pytest.mark.parametrize(
    'body, code, told',
    [
        (lambda: None, 0, ''),
        (lambda: 1, 1, ''),
        (stopped, 130, 'interrupted\n'),
        (swallowed, 130, 'interrupted\n'),
        (unwritable, 2, 'error: tool.py: [Errno 28] No space left on device\n'),
        (unread, 1, ''),
    ],
)
def test_ends(body: Callable[[], int | None], code: int, told: str, capsys: pytest.CaptureFixture) -> None:
    assert run_program(body, 'tool.py', []) == code
    assert capsys.readouterr().err == told


@pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal as it is for a program that a terminal starts, whatever starts the tests."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


def test_ignored_signals_stay_ignored(number: int, capsys: pytest.CaptureFixture) -> None:
    """As ``nohup`` does with SIGHUP."""
    signal.signal(number, signal.SIG_IGN)
    assert run_program(lambda: os.kill(os.getpid(), number), 'tool.py', []) == 0
    assert not capsys.readouterr().err


def test_signals_that_end_a_program_are_told(number: int, capsys: pytest.CaptureFixture) -> None:
    assert run_program(lambda: os.kill(os.getpid(), number), 'tool.py', []) == 130
    assert capsys.readouterr().err == 'interrupted\n'
    assert signal.getsignal(number) is signal.SIG_DFL


def forking() -> int:
    ready, begun = os.pipe()
    if not (child := os.fork()):
        os.write(begun, b'.')  # Python forgets signals that come while it forks
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_workers_and_ranks_end_as_they_did(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_program(forking, 'tool.py', []) == -signal.SIGTERM
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert run_program(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, 'tool.py', []) == 0
    assert not capsys.readouterr().err


def test_messages_command_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    def main() -> int:
        logging.getLogger('xdet').warning('%s is damaged', '\x1b[2J.jpg')
        raise SystemExit('error: \x1b[31m')

    factory = logging.getLogRecordFactory()
    try:
        with pytest.raises(SystemExit) as ended:
            run_program(main, 'tool', [])
    finally:
        logging.setLogRecordFactory(factory)
    assert ended.value.code == 'error: \\u001b[31m'
    assert caplog.messages == ['\\u001b[2J.jpg is damaged']


def test_empty_arguments_end_a_program_before_it_begins(capsys: pytest.CaptureFixture) -> None:
    assert run_program(unwritable, 'tool.py', ['a.json', '--out-dir', ' ']) == 2
    assert capsys.readouterr().err == 'error: tool.py: --out-dir is empty; give it a value, or leave it out\n'


def ended(shell: str, *command: str) -> tuple[int, str]:
    """Exit code and standard error of a program whose streams a shell makes."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': ''}
    result = subprocess.run(
        ['bash', '-c', shell, 'bash', sys.executable, *command], capture_output=True, text=True, env=environment
    )
    return result.returncode, result.stderr


PRINTS = 'import sys; from xdet.cli.running import run_program; sys.exit(run_program(lambda: print("x" * {}), "tool"))'
HELP = 'import argparse, sys; from xdet.cli.running import run_program\n'
HELP += 'sys.exit(run_program(argparse.ArgumentParser().parse_args, "tool"))'


@pytest.mark.parametrize('command', [('-c', PRINTS.format(9**6)), ('-c', HELP, '--help')])
def test_output_that_is_not_taken(command: tuple[str, ...]) -> None:
    if not os.path.exists('/dev/full'):
        pytest.skip('this system has no /dev/full')
    code, told = ended('"$@" > /dev/full', *command)
    assert (
        code == 2 and 'No space left on device' in told and told.startswith('error: tool: ') and told.count('\n') == 1
    )
    code, told = ended('"$@" | true; exit ${PIPESTATUS[0]}', *command)
    assert code in (0, 1) and not told  # 0 if it was sent before the reader was gone
    assert ended('"$@" >&-', *command) == (0, '')
    assert ended('"$@" >&- 2>&-', *command) == (0, '')


def test_ctrl_c_shows_no_traceback_of_what_packages_do_at_the_end() -> None:
    late = 'import atexit, os, signal, sys; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n'
    late += 'from xdet.cli.running import run_program; sys.exit(run_program(lambda: 0, "tool"))'
    assert ended('"$@"; exit $?', '-c', late) == (130, '')


def test_scripts_are_called_by_the_name_of_their_command(capsys: pytest.CaptureFixture) -> None:
    for words, name in (
        (['download', 'nope'], 'xdet download'),
        (['export', '--nope'], 'xdet export'),
        (['convert', 'split-coco', '--nope'], 'xdet convert split_coco'),
    ):
        assert main(words) == 2
        printed = capsys.readouterr().err
        assert f'usage: {name} ' in printed and f'{name}: error: ' in printed and '.py' not in printed
