"""Two processes on the CPU: they train, are killed, resume and test, through the shell scripts as users call them.

What the scripts start is forked from this process (:mod:`tiny.forked`), which saves the time of importing everything.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch
from tiny.data import write_pictures
from tiny.forked import start_launcher
from tiny.ranks import needs_ranks
from tiny.tools import CONFIG, data_options, run_tool, start

from xdet.compat.checkpoint import read_checkpoint
from xdet.engine.hooks.checkpoint import newest_usable_checkpoint

LIMIT = 240  # seconds; a few are enough on an idle machine


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # An odd number, so that two ranks have to share it unevenly when they test.
    return write_pictures(tmp_path_factory.mktemp('pictures') / 'data', number=7)


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, output[-4000:]
    return output


def kill_when_there_is(path: Path, process: subprocess.Popen) -> None:
    """Kill a launcher and its ranks without warning as soon as a file exists."""
    deadline = time.monotonic() + LIMIT
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    killed = process.poll() is None
    for pid in family(process.pid) if killed else ():
        os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate()
    assert path.exists(), output[-4000:]
    assert killed, 'the training ended before it could be killed'


def family(pid: int) -> list[int]:
    """A process and all that descend from it; torchrun gives every rank a process group of its own."""
    children = [
        int(child) for path in Path(f'/proc/{pid}/task').glob('*/children') for child in path.read_text().split()
    ]
    return [pid, *(descendant for child in children for descendant in family(child))]


@needs_ranks
def test_train_kill_resume_test(data: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    # Long enough that the kill falls in the middle, with a checkpoint to lose work after.
    length = ['train_cfg.max_iters=18', 'default_hooks.checkpoint.interval=6']
    options = data_options(data, *length, 'default_hooks.checkpoint.max_keep_ckpts=9')

    first = start_launcher('dist_train.sh', CONFIG, '2', '--work-dir', cut, *options)
    kill_when_there_is(cut / 'iter_6.pth', first)
    assert not (cut / 'iter_18.pth').exists()

    uninterrupted = start_launcher('dist_train.sh', CONFIG, '2', '--work-dir', whole, *options)
    finish(uninterrupted)
    output = finish(start_launcher('dist_train.sh', CONFIG, '2', '--work-dir', cut, '--resume', *options))
    assert re.search(r'resumed epoch: \d+, iter: (6|12)', output), output[-4000:]

    checkpoints = [read_checkpoint(folder / 'iter_18.pth') for folder in (whole, cut)]
    for key in ('state_dict', 'optimizer'):
        assert_equal(checkpoints[0][key], checkpoints[1][key], key)

    tested = [tmp_path / 'one', tmp_path / 'two']
    run_tool('test', CONFIG, cut / 'iter_18.pth', '--work-dir', tested[0], *options)
    finish(start_launcher('dist_test.sh', CONFIG, cut / 'iter_18.pth', '2', '--work-dir', tested[1], *options))
    one, two = ({key: value for key, value in metrics(folder).items() if 'semantic' in key} for folder in tested)
    assert one == two and one['semantic/mIoU'] > 0


@needs_ranks
def test_a_lost_process_restarts_all_and_later_ends_all(data: Path, tmp_path: Path) -> None:
    """Rank 1 is killed twice and may be replaced once: training goes on from the last checkpoint, then it ends."""
    work_dir, log = tmp_path / 'run', tmp_path / 'log.txt'
    length = ['train_cfg.max_iters=1000', 'default_hooks.checkpoint.interval=3']
    arguments = ('--work-dir', work_dir, '--resume', *data_options(data, *length))
    launcher = start_launcher('dist_train.sh', CONFIG, '2', *arguments, MAX_RESTARTS='1')
    reader = threading.Thread(target=lambda: log.write_text(launcher.stdout.read()))
    reader.start()
    try:
        first = kill_a_rank_after_a_checkpoint(launcher, work_dir, after=0)
        second = kill_a_rank_after_a_checkpoint(launcher, work_dir, after=first)
        status = launcher.wait(LIMIT)
    finally:
        for pid in family(launcher.pid) if launcher.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
        reader.join(LIMIT)  # which ends when the last process is gone
    assert not reader.is_alive()
    output = log.read_text()
    resumed = re.findall(r'resumed epoch: \d+, iter: (\d+)', output)
    assert resumed == [str(first)] and status != 0, output[-4000:]
    assert 'SIGKILL' in output and newest_usable_checkpoint(str(work_dir)).endswith(f'iter_{second}.pth')


def kill_a_rank_after_a_checkpoint(launcher: subprocess.Popen, work_dir: Path, after: int) -> int:
    """Kill rank 1 when there is a checkpoint later than ``after``; returns which one is the last in the end."""
    deadline = time.monotonic() + LIMIT
    while last_checkpoint(work_dir) <= after and launcher.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert last_checkpoint(work_dir) > after, 'no checkpoint'
    ranks = {Path(f'/proc/{pid}/comm').read_text().strip(): pid for pid in family(launcher.pid)[1:]}
    os.kill(ranks['rank 1'], signal.SIGKILL)
    while Path(f'/proc/{ranks["rank 0"]}').exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # rank 0 cannot go on alone, but it may be writing
    return last_checkpoint(work_dir)


def last_checkpoint(work_dir: Path) -> int:
    return max((int(path.stem.removeprefix('iter_')) for path in work_dir.glob('iter_*.pth')), default=0)


def metrics(work_dir: Path) -> dict[str, float]:
    [path] = work_dir.glob('*/*.json')
    return json.loads(path.read_text())


def assert_equal(left: object, right: object, where: str) -> None:
    """Bit for bit."""
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_equal(left[key], right[key], f'{where}.{key}')
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_equal(one, other, f'{where}.{index}')
    else:
        assert left == right, where


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'], ids=lambda name: name
)
def test_scripts_say_how_to_call_them(script: str) -> None:
    process = start('bash', f'tools/{script}')
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f'bash tools/{script} ' in output and 'CONFIG' in output


def test_slurm_script_hands_everything_to_srun(tmp_path: Path) -> None:
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    variables = dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='4', GPUS_PER_NODE='2', SRUN_ARGS='--time 1 -x n3')
    process = start('bash', 'tools/slurm_train.sh', 'gpu', 'job', 'c.py', 'work dir', '--amp', 'bf16', **variables)
    output = finish(process).splitlines()
    assert {'--job-name=job', '--gres=gpu:2', '--ntasks=4', '--ntasks-per-node=2'} <= set(output)
    assert output[-8:] == 'tools/train.py|c.py|--work-dir|work dir|--launcher|slurm|--amp|bf16'.split('|')
