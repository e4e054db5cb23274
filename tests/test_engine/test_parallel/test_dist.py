"""Start-up of processes: which variables are needed, and that the model is not bound to a device on the CPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from tiny.ranks import needs_ranks, on_two_ranks
from torch._subclasses.fake_tensor import FakeTensorMode

from xdet.engine.parallel.dist import export_ranks, lost_process_named, prepare_distributed, use_cpu_wrapper

ALL = [
    f'{prefix}{name}'
    for prefix, names in {
        '': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'),
        'SLURM_': ('PROCID', 'NTASKS', 'LOCALID', 'NODELIST'),
        'OMPI_COMM_WORLD_': ('RANK', 'SIZE', 'LOCAL_RANK'),
    }.items()
    for name in names
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ALL:
        monkeypatch.setenv(name, '')  # so that what the code sets is taken back
        monkeypatch.delenv(name)
    return monkeypatch


def test_one_process_needs_nothing() -> None:
    cfg = Config(dict())
    prepare_distributed(cfg, 'none')
    assert cfg.launcher == 'none' and 'model_wrapper_cfg' not in cfg


def test_unknown_launcher() -> None:
    with pytest.raises(ValueError, match="'torch' is unknown; accepted are none, pytorch, slurm, mpi"):
        prepare_distributed(Config(dict()), 'torch')


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_process_that_no_launcher_started(launcher: str) -> None:
    with pytest.raises(ValueError, match=f"launcher '{launcher}' sets .*is not set"):
        export_ranks(launcher)


@pytest.mark.parametrize(
    ('launcher', 'names'),
    [
        ('slurm', ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID')),
        ('mpi', ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK')),
    ],
)
def test_ranks_are_exported(environment: pytest.MonkeyPatch, launcher: str, names: tuple[str, ...]) -> None:
    for name, value in zip(names, ('3', '8', '1'), strict=True):
        environment.setenv(name, value)
    environment.setenv('MASTER_ADDR', 'node7')
    export_ranks(launcher)
    assert [os.environ[name] for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')] == ['3', '8', '1']
    assert os.environ['MASTER_ADDR'] == 'node7' and os.environ['MASTER_PORT'] == '29500'


def test_slurm_without_its_programs(environment: pytest.MonkeyPatch) -> None:
    for name in ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'):
        environment.setenv(name, '0')
    environment.setenv('PATH', '')
    with pytest.raises(ValueError, match="launcher 'slurm': scontrol names no host .* set MASTER_ADDR"):
        export_ranks('slurm')


def test_cpu_wrapper_keeps_what_the_config_says() -> None:
    cfg = Config(dict(model_wrapper_cfg=dict(static_graph=True), find_unused_parameters=True))
    use_cpu_wrapper(cfg)
    assert cfg.model_wrapper_cfg.to_dict() == dict(
        type='MMDistributedDataParallel',
        static_graph=True,
        broadcast_buffers=False,
        find_unused_parameters=True,
        device_ids=None,
    )


@needs_ranks
def test_a_lost_process_is_named(tmp_path: Path) -> None:
    """Rank 1 leaves without a word while rank 0 waits for it."""

    def run() -> str:
        if torch_dist.get_rank() == 1:
            torch.save('left', tmp_path / '1.pt')
            os._exit(0)
        try:
            with lost_process_named():
                torch_dist.all_reduce(torch.zeros(1))
        except ConnectionError as error:
            torch.save(str(error), tmp_path / '0.pt')
            os._exit(0)

    message, _ = on_two_ranks(run, tmp_path)
    assert message.startswith('process 0 of 2 lost contact to another one') and '--resume' in message


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match='sizes'), lost_process_named():
        raise RuntimeError('sizes do not match')


@pytest.mark.parametrize(
    'text',
    [
        'DataLoader worker (pid 5) is killed by signal: Segmentation fault. ',
        'DataLoader worker (pid(s) 5, 6) exited unexpectedly',
    ],
)
def test_lost_worker_of_a_data_loader_is_named(text: str) -> None:
    with pytest.raises(ChildProcessError, match=r'DataLoader worker \(pid.*5.*\) was killed .*--resume'):
        with lost_process_named():
            raise RuntimeError(text)


@needs_ranks
def test_ranks_of_tests_learn_after_a_model_was_traced(tmp_path: Path) -> None:
    """Tracing pretends that there are CUDA devices, for each of which a later backward pass would start a thread."""
    with FakeTensorMode():
        torch.ones(1)
    torch.ones(1, requires_grad=True).backward()
    on_two_ranks(lambda: torch.ones(1, requires_grad=True).backward(), tmp_path)
