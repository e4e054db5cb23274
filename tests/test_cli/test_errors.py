"""Exceptions become one line, unless the traceback is asked for."""

from __future__ import annotations

import errno

import pytest

from xdet.cli.errors import DEBUG_VARIABLE, exit_code, one_line_errors
from xdet.io.errors import cause


def test_exception_ends_the_program_with_one_line() -> None:
    with pytest.raises(SystemExit) as info, one_line_errors('reading x.py'):
        raise ValueError('first line\n  second line')
    assert str(info.value).startswith('error: reading x.py: first line second line')
    assert '\n' not in str(info.value)


def test_other_kinds_pass() -> None:
    with pytest.raises(RuntimeError), one_line_errors('training', OSError, ValueError):
        raise RuntimeError('a bug')


def test_debug_variable_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, '1')
    with pytest.raises(ValueError), one_line_errors('reading'):
        raise ValueError('x')


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        (KeyError("'model' is not in the registry"), "'model' is not in the registry"),
        (KeyError('model'), 'KeyError: model'),
        (AssertionError(), 'AssertionError'),
        (
            ValueError(
                'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n'
                '  File "x.py", line 1, in f\nValueError: a.png is broken'
            ),
            'ValueError: a.png is broken',
        ),
    ],
)
def test_cause(error: Exception, text: str) -> None:
    assert cause(error) == text


def test_place_of_what_may_be_a_fault_of_a_program() -> None:
    with (
        pytest.raises(SystemExit, match=r'raised in .*test_errors.py:\d+'),
        one_line_errors('training'),
    ):
        raise KeyError('gt_segments')


def test_interruption_is_one_line(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as info, one_line_errors('training', ValueError):
        raise KeyboardInterrupt
    assert info.value.code == 130 and capsys.readouterr().err == 'interrupted: training\n'


@pytest.mark.parametrize('kind, code', [(SyntaxError, 130), (OSError, 'error: training: disk')])
def test_what_a_library_makes_of_ctrl_c(kind: type[Exception], code: int | str) -> None:
    with pytest.raises(SystemExit) as info, one_line_errors('training'):
        try:
            raise KeyboardInterrupt
        except BaseException:  # as MMEngine does while it writes a config
            raise kind('disk is full') from None
    assert str(info.value.code).startswith(str(code))


def test_long_messages_are_cut() -> None:
    with pytest.raises(SystemExit) as info, one_line_errors('reading'):
        raise ValueError('x' * 100_000)
    assert len(str(info.value)) < 4000


@pytest.mark.parametrize(
    'error, told',
    [
        (
            OSError(errno.ENOSPC, 'No space left on device'),
            'error: No space left on device (while writing or printing)',
        ),
        (OSError(errno.EACCES, 'Permission denied', 'a.png'), "error: 'a.png': Permission denied"),
        (FileNotFoundError('a.png: file does not exist'), 'error: a.png: file does not exist'),
    ],
)
def test_errors_of_the_system_say_what_they_are_about(error: OSError, told: str, capsys: pytest.CaptureFixture) -> None:
    def body() -> int:
        raise error

    assert exit_code(body) == 2 and capsys.readouterr().err == f'{told}\n'
