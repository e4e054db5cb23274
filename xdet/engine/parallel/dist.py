"""Distributed start-up that also works without a GPU.

MMEngine's start-up binds every process to a CUDA device and wraps the model for that device, so it fails on machines
without one. Creating the process group before the runner is built, and saying that the model lives on no particular
device, is enough to train and test with several CPU processes over gloo.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.device import get_device

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
DEFAULT_PORT = '29500'

# What each launcher calls the rank, the number of processes and the rank within the machine.
_RANK_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}


def prepare_distributed(cfg: Config, launcher: str) -> None:
    """Write the launcher into a config and, where there is no accelerator, start gloo.

    ``env_cfg.dist_cfg.timeout`` (seconds) is how long a process waits for the others before it gives up.

    With an accelerator MMEngine's own start-up does the work when the runner is built; only the environment variables
    that it expects are completed here. Call this once per process before building the runner.

    Args:
        cfg (Config): Config of the runner, changed in place.
        launcher (str): ``'none'``, ``'pytorch'`` (torchrun), ``'slurm'`` or ``'mpi'``.

    Raises:
        ValueError: Unknown launcher, or the variables that it sets are missing.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f"launcher '{launcher}' is unknown; accepted are {', '.join(LAUNCHERS)}")
    cfg.launcher = launcher
    if launcher == 'none':
        return
    export_ranks(launcher)
    if get_device() not in ('cpu', 'mps'):  # no collective library drives Apple's GPUs
        return
    if not torch_dist.is_initialized():
        seconds = ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('timeout')
        rank, world_size = int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])
        store, _, _ = next(torch_dist.rendezvous('env://', rank, world_size))
        # torchrun keeps the store when it restarts processes; names of their own keep new ones off old addresses.
        attempt = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
        torch_dist.init_process_group(
            'gloo',
            store=torch_dist.PrefixStore(f'attempt_{attempt}', store),
            rank=rank,
            world_size=world_size,
            timeout=None if seconds is None else timedelta(seconds=seconds),
        )
    use_cpu_wrapper(cfg)


def use_cpu_wrapper(cfg: Config) -> None:
    """Make the runner wrap the model without a device id; MMEngine would otherwise pass the local rank as one."""
    wrapper = dict(cfg.get('model_wrapper_cfg') or {})
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    wrapper.setdefault('broadcast_buffers', False)
    wrapper.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', False))
    wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper


def export_ranks(launcher: str) -> None:
    """Set ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and the master's address from the launcher's variables.

    Raises:
        ValueError: A variable of the launcher is missing, so the process was not started by it.
    """
    variables = _RANK_VARIABLES[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise ValueError(
            f"launcher '{launcher}' sets {', '.join(variables)}, but {', '.join(missing)} is not set; start the "
            "program with tools/dist_train.sh or tools/slurm_train.sh, or use launcher 'none'"
        )
    for name, variable in zip(_RANK_VARIABLES['pytorch'], variables, strict=True):
        os.environ[name] = os.environ[variable]
    os.environ.setdefault('MASTER_PORT', DEFAULT_PORT)
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_slurm_host() if launcher == 'slurm' else '127.0.0.1'


def _first_slurm_host() -> str:
    nodes = os.environ.get('SLURM_NODELIST', '')
    try:
        result = subprocess.run(['scontrol', 'show', 'hostname', nodes], capture_output=True, text=True, check=True)
        return result.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise ValueError(
            f"launcher 'slurm': scontrol names no host of SLURM_NODELIST={nodes!r} ({error}); "
            'set MASTER_ADDR to the address of the first node'
        ) from error


@contextmanager
def lost_process_named() -> Iterator[None]:
    """Say in plain words what it means when a collective fails: another process is gone or hangs.

    Raises:
        ChildProcessError: In place of the error of a data loader that lost a worker process.
        ConnectionError: In place of the communication library's own error.
    """
    try:
        yield
    except RuntimeError as error:
        if worker := re.search(r'DataLoader worker \(pid(\(s\))?[^)]*\)', str(error)):
            raise ChildProcessError(
                f'{worker[0]} was killed or crashed, perhaps for lack of memory (num_workers=0 of the data loader '
                'shows more); --resume goes on from the last checkpoint'
            ) from error
        # gloo's errors are plain RuntimeErrors, told by their text only; NCCL's and the store's have a class.
        gloo = re.search(r'gloo|[Cc]onnection (closed|reset)|Timed out waiting|Broken pipe', str(error))
        if not torch_dist.is_initialized() or not (gloo or isinstance(error, torch_dist.DistError)):
            raise
        reason = ' '.join(str(error).split())[-200:]
        raise ConnectionError(
            f'process {torch_dist.get_rank()} of {torch_dist.get_world_size()} lost contact to another one, which has '
            f'ended or hangs ({reason}); --resume goes on from the last checkpoint'
        ) from error


def shut_down() -> None:
    """Leave the process group, so that the processes end without a warning; does nothing outside of one."""
    if torch_dist.is_available() and torch_dist.is_initialized():
        torch_dist.destroy_process_group()
