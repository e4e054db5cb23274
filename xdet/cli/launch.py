"""What ``tools/train.py`` and ``tools/test.py`` have in common: arguments, config and distributed start-up."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config, DictAction

from xdet.compat.distributions import check_optional_packages
from xdet.compat.quiet import quiet_imports
from xdet.config_references import refuse_lost_deletes, unread_values
from xdet.engine.parallel.combinations import check_combinations
from xdet.engine.parallel.dist import LAUNCHERS, prepare_distributed
from xdet.io.reading import shorten
from xdet.io.terminal import tell
from xdet.io.writing import check_place
from xdet.model_zoo import fill_in, find_config, read_config
from xdet.registry import DATASETS, METRICS, MODELS, TRANSFORMS

from .errors import one_line_errors
from .overrides import apply_overrides, check_spelling, runner_keys
from .signatures import check_signatures
from .values import check_values

if TYPE_CHECKING:  # runners take seconds to import, which --help need not wait for
    from xdet.engine.runner import XDetRunner


class OptionAction(DictAction):
    """Reads ``KEY=VALUE`` as MMEngine does, with an error that names what is none."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: Any = None) -> None:
        """Add the options to ``namespace``.

        Raises:
            ValueError: One is no ``KEY=VALUE``, or its value cannot be read.
        """
        for option in values or ():
            key, equals, value = option.partition('=')
            if not key.strip() or not equals:
                raise ValueError(f"{option_string}: '{shorten(option)}' is no KEY=VALUE")
            if value.lstrip().startswith(('dict(', '{')):
                what = f"'{shorten(option)}' is a dict; set what is in it one by one, {key}.NAME=VALUE"
                raise ValueError(f'{option_string}: {what}')
            try:
                self._parse_iterable(value)
            except Exception as error:  # brackets that do not close, and the like
                raise ValueError(f"{option_string}: the value of '{shorten(option)}' cannot be read") from error
        super().__call__(parser, namespace, values, option_string)


def add_cfg_options(parser: ArgumentParser) -> None:
    """The option that changes values of the config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionAction,
        metavar='KEY=VALUE',
        help='change the config: model.decoder.num_queries=201 or key="[(a,b),c]" without white space',
    )


def add_launch_arguments(parser: ArgumentParser) -> None:
    """Arguments of every program that builds a runner; the names are those of the other OpenMMLab projects."""
    parser.add_argument('--work-dir', help='where logs and checkpoints go (default: work_dirs/<config name>)')
    add_cfg_options(parser)
    parser.add_argument(
        '--allow-missing', nargs='+', default=[], metavar='NAME', help='parameters that the weights may lack'
    )
    parser.add_argument(
        '--allow-unexpected', nargs='+', default=[], metavar='NAME', help='parameters of the weights to leave out'
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what started the processes')
    # torchrun sets LOCAL_RANK; the older launcher passes one of these instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by launchers, not by users')


def read_run_config(args: Namespace, training: bool = False) -> Config:
    """Config of a run with the command line's changes in it.

    Args:
        args (Namespace): Parsed :func:`add_launch_arguments` and ``config``, a path or the name of a shipped config.
        training (bool): Whether the config must say how to train.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: The config cannot be read, an option or a key is misspelt, a value cannot be meant, or a package
            that it names is missing.
    """
    path = find_config(args.config)
    cfg = read_config(path)
    apply_overrides(cfg, args.cfg_options)
    for name in sorted(set(unread_values(cfg)) - runner_keys()):
        tell(f"warning: config {path}: nothing reads '{name}', unless the file itself does", error=True)
    cfg = fill_in(cfg)
    refuse_lost_deletes(cfg)
    check_spelling(cfg)
    check_values(cfg, training)
    check_optional_packages(cfg.to_dict())
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        cfg.work_dir = str(Path('work_dirs') / path.stem)
    if args.allow_missing:
        cfg.allow_missing = args.allow_missing
    if args.allow_unexpected:
        cfg.allow_unexpected = args.allow_unexpected
    return cfg


def start_runner(cfg: Config, args: Namespace) -> XDetRunner:
    """Join the other processes of ``args.launcher``, if any, and build the runner; mistakes end the program."""
    with one_line_errors('argument --work-dir', OSError):
        check_place(cfg.work_dir, folder=True)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    with one_line_errors(f'config {args.config}', ValueError):
        runner = choose_runner(cfg)
    with one_line_errors(f'launcher {args.launcher}', ValueError, OSError):
        prepare_distributed(cfg, args.launcher)
    with one_line_errors(f'config {args.config}'):
        with quiet_imports():
            for registry in (MODELS, DATASETS, TRANSFORMS, METRICS):
                registry.import_from_location()
            check_signatures(cfg)  # looks for components of optional packages, which imports these
        return runner.from_cfg(cfg)


def choose_runner(cfg: Config) -> type[XDetRunner]:
    """Runner for a config.

    Raises:
        ValueError: The config names a strategy or runner of MMEngine, or options that do not go together.
    """
    ours = 'fsdp=dict() for FSDP, and nothing for DDP'
    if cfg.get('strategy') or cfg.get('runner_type', 'Runner') != 'Runner':
        key = 'strategy' if cfg.get('strategy') else 'runner_type'
        raise ValueError(f'{key} is for a runner of MMEngine that xdet does not use; accepted are {ours}')
    check_combinations(cfg)
    from xdet.engine.parallel.sharding import ShardedRunner
    from xdet.engine.runner import XDetRunner

    return ShardedRunner if cfg.get('fsdp') is not None else XDetRunner
