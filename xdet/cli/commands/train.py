"""Train a model.

xdet train CONFIG
xdet train CONFIG --weights official.pt --amp bf16
xdet train CONFIG --resume
bash tools/dist_train.sh CONFIG 8
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from xdet.cli.errors import one_line_errors
from xdet.cli.launch import add_launch_arguments, read_run_config, start_runner
from xdet.cli.parsing import Parser
from xdet.engine.parallel.dist import lost_process_named, shut_down
from xdet.io.locking import locked
from xdet.io.terminal import tell
from xdet.lazy import import_optional

_SUMMARY = 'Train a model.'
AMP_DTYPES = {'fp16': 'float16', 'bf16': 'bfloat16'}
EMA_MOMENTUM = 2e-4  # MMEngine's
_PATIENCE = 10  # seconds; loading processes hold the lock of a training that was killed for about half as long
TRACKERS = dict(
    tensorboard=('TensorboardVisBackend', 'torch.utils.tensorboard'),
    wandb=('WandbVisBackend', 'wandb'),
)
"""Visualization backends of MMEngine, and the module that each needs."""


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(prog, description=_SUMMARY)
    parser.add_argument('config', help='path of a config, or the name of a shipped one such as xdecoder_focal-t')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='go on from this checkpoint, or without a path from the newest one in the work dir, if there is one',
    )
    parser.add_argument(
        '--load-from', '--weights', metavar='PATH', help='start from these weights: an official file, ours, or a URL'
    )
    parser.add_argument('--amp', nargs='?', const='fp16', choices=AMP_DTYPES, help='mixed precision (alone: fp16)')
    parser.add_argument(
        '--ema',
        nargs='?',
        const=EMA_MOMENTUM,
        type=float,
        metavar='MOMENTUM',
        help=f'also average the weights over the iterations, with this weight for the newest (alone: {EMA_MOMENTUM}); '
        'the averaged weights are validated and are those of the checkpoints',
    )
    parser.add_argument(
        '--compile', action='store_true', help='compile the image encoder; the first iterations then take minutes'
    )
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the number of processes'
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw the images of every validation into WORK_DIR/TIMESTAMP/DIR/iter_N'
    )
    parser.add_argument(
        '--show-interval', type=int, default=1, metavar='N', help='draw every N-th batch of a validation (default 1)'
    )
    parser.add_argument(
        '--track',
        nargs='+',
        choices=TRACKERS,
        default=(),
        help='also log to these, beside the files of the work dir; pip install "xdet[track]"',
    )
    add_launch_arguments(parser)
    return parser


def apply_training_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write the training arguments into the config.

    Raises:
        ValueError: The arguments ask for what the config or the machine cannot do.
    """
    if args.amp:
        use_amp(cfg, AMP_DTYPES[args.amp])
    if args.ema is not None:
        use_ema(cfg, args.ema)
    if args.compile:
        cfg.compile = cfg.get('compile') or True
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size to scale from')
        cfg.auto_scale_lr.enable = True
    if args.show_interval != 1 and not args.show_dir:
        raise ValueError('--show-interval says how often --show-dir draws; give that too')
    if args.show_dir:
        cfg.default_hooks.visualization = dict(
            type='DrawPredictionsHook', out_dir=args.show_dir, interval=args.show_interval, during='val'
        )
    for name in args.track:
        use_tracker(cfg, name)
    if args.load_from and args.resume not in (None, 'auto'):
        raise ValueError(f'--resume {args.resume} and --load-from {args.load_from} do not go together; give one')
    if args.load_from:
        cfg.load_from = args.load_from
    if args.resume == 'auto':
        from xdet.engine.hooks.checkpoint import newest_usable_checkpoint

        saving = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
        newest = newest_usable_checkpoint(cfg.work_dir, saving.get('out_dir'))
        if newest:
            if args.load_from:
                tell(f'going on from {newest}: --load-from {args.load_from} is not read')
            cfg.resume, cfg.load_from = True, newest
        else:
            tell(f'no checkpoint to resume from in {cfg.work_dir}: training starts from the beginning')
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume


def use_amp(cfg: Config, dtype: str) -> None:
    """Train in mixed precision of this floating point type."""
    current = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if current not in ('OptimWrapper', 'AmpOptimWrapper', 'MixedPrecisionOptimWrapper'):
        raise ValueError(f'--amp: the config has optim_wrapper {current}; accepted is OptimWrapper')
    cfg.optim_wrapper.type = 'MixedPrecisionOptimWrapper'
    cfg.optim_wrapper.dtype = dtype


def use_ema(cfg: Config, momentum: float) -> None:
    """Average the weights exponentially."""
    if not 0 < momentum < 1:
        raise ValueError(f'--ema: the momentum is {momentum}; it must be between 0 and 1')
    hooks = [hook for hook in cfg.get('custom_hooks') or () if hook['type'] != 'EMAHook']
    cfg.custom_hooks = [*hooks, dict(type='EMAHook', momentum=momentum)]


def use_tracker(cfg: Config, name: str) -> None:
    """Log to a further backend.

    Raises:
        ImportError: Its library is not installed.
    """
    kind, module = TRACKERS[name]
    import_optional(module, f'--track {name}', 'track', package=name)
    visualizer = cfg.get('visualizer') or dict(type='XDetLocalVisualizer', name='visualizer')
    backends = list(visualizer.get('vis_backends') or [dict(type='LocalVisBackend')])
    if kind not in [backend['type'] for backend in backends]:
        backends.append(dict(type=kind))
    cfg.visualizer = dict(visualizer, vis_backends=backends)


@contextmanager
def alone_in(work_dir: str) -> Iterator[None]:
    """The main process holds the lock of the work dir, so that two trainings never mix their checkpoints.

    Raises:
        ValueError: Another training runs there.
    """
    with ExitStack() as stack:
        for left in range(_PATIENCE, -1, -1) if is_main_process() else ():
            try:
                stack.enter_context(locked(Path(work_dir, '.lock'), wait=False))
                break
            except BlockingIOError:
                if not left:
                    told = (
                        f"another process trains in '{work_dir}'; wait until that has ended, or give another --work-dir"
                    )
                    raise ValueError(told) from None
                time.sleep(1)
        yield


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Entry point; mistakes end the program with one line and exit code 1."""
    with one_line_errors('command line', ValueError):
        args = parser(prog).parse_args(argv)
    with one_line_errors(f'config {args.config}', ImportError, OSError, ValueError):
        cfg = read_run_config(args, training=True)
        apply_training_arguments(cfg, args)
    runner = start_runner(cfg, args)
    with one_line_errors(f'data of config {args.config}'):
        runner.train_loop  # noqa: B018  builds the datasets now, where a mistake in them can be told from others
        runner.val_loop  # noqa: B018
    with one_line_errors('training'), lost_process_named(), alone_in(cfg.work_dir):
        runner.train()
    shut_down()
