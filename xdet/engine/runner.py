"""MMEngine's runner with strict loading of weights, schedules in fractions and compilation of parts of the model."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import LoggerHook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.utils.dl_utils import collect_env
from torch import nn

from xdet.compat.checkpoint import read_checkpoint
from xdet.compat.fitting import check_finite, load_weights
from xdet.engine.optim import lora
from xdet.engine.optim.schedules import fit_schedule, resolve_fractions
from xdet.engine.optim.trainable import select_trainable
from xdet.io.errors import cause
from xdet.io.reading import shorten
from xdet.io.writing import write_text

from .config_drift import config_drift
from .log_lines import outlive_readers
from .model_settings import change_settings
from .testing.evaluator import NamingEvaluator

# What is worth compiling: most of the work, on images whose size seldom changes in training. Texts, queries and targets
# change their number with every batch.
COMPILED_MODULES = ('backbone', 'pixel_decoder')
_OWN_DEPRECATIONS = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')
_SCHEDULE_SETTINGS = (
    'begin',
    'end',
    'T_max',
    'eta_min',
    'eta_min_ratio',
    'milestones',
    'gamma',
    'step_size',
    'start_factor',
    'end_factor',
    'factor',
    'total_iters',
    'power',
    'total_steps',
)
_TRAINING_STATE = ('meta', 'state_dict', 'message_hub', 'optimizer')


class XDetRunner(Runner):
    """Runner that insists that weights fit.

    MMEngine only logs missing, unexpected and wrongly shaped parameters. Here they are an error, unless the config
    lists their names in ``allow_missing`` and ``allow_unexpected``.

    Two more things work in configs: floats in ``param_scheduler`` are fractions of the training, see
    :func:`~xdet.engine.optim.schedules.resolve_fractions`; and ``compile`` takes ``modules``, the parts of the model to
    compile (default: :data:`COMPILED_MODULES`), beside the arguments of ``torch.compile``.

    For fine-tuning (docs/finetune.md) configs may say ``trainable`` and ``frozen``, patterns for parameters, see
    :func:`~xdet.engine.optim.trainable.select_trainable`, and ``lora``, arguments of
    :func:`~xdet.engine.optim.lora.add_lora`; with ``lora`` alone only the adapters are trained.

    Attributes:
        trained_on (dict[str, Any] | None): What :func:`~xdet.compat.fitting.load_weights` returned for the weights
            that the training starts from; None without such weights.
    """

    trained_on: dict[str, Any] | None = None

    @property
    def bare_model(self) -> nn.Module:
        """The model without the distributed wrapper."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, add adapters and freeze what is not to be trained, before anything wraps the model."""
        model = super().build_model(model)
        _check_parts(model, self.cfg.get('activation_checkpointing') or ())
        adapters = []
        if self.cfg.get('lora'):
            # Not later, where it would overwrite the adapters, which must start as zero; it works only once.
            model.init_weights()
            adapters = lora.add_lora(model, **lora.check_options(self.cfg.lora))
        if adapters or 'trainable' in self.cfg or 'frozen' in self.cfg:
            everything = () if adapters else ('*',)
            select_trainable(model, self.cfg.get('trainable', everything), self.cfg.get('frozen', ()), adapters)
        return model

    def train(self) -> nn.Module:
        """Train; what is shorter than the interval of its log is logged at its end."""
        for hook in self.hooks:
            if isinstance(hook, LoggerHook) and self.max_iters:
                hook.interval = min(hook.interval, self.max_iters)
        return super().train()

    def load_checkpoint(
        self, filename: str, map_location: str | Callable = 'cpu', strict: bool = True, revise_keys: list | None = None
    ) -> dict[str, Any]:
        """Load weights (``load_from``) or, when resuming, a checkpoint that a training wrote.

        Args:
            filename (str): Path or URL. Weights may be in the official layout of X-Decoder or in ours.
            map_location (str | Callable): Device for a resumed checkpoint.
            strict (bool): Part of the overridden signature; loading is always strict.
            revise_keys (list, optional): Part of the overridden signature; names are converted by ``load_weights``.

        Returns:
            dict: The whole checkpoint when resuming, else the weights as ``{'state_dict': ...}``.

        Raises:
            CheckpointError: The file cannot be read or does not fit the model.
            ValueError: Resuming from a file without training state.
        """
        checkpoint: dict[str, Any]
        if self._resume:
            checkpoint = read_training_checkpoint(filename, map_location)
            self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
            self._report_drift(checkpoint['meta'], filename)
            check_finite(checkpoint['state_dict'], self.bare_model.state_dict(), filename)
            self._load_resumed(checkpoint['state_dict'], filename)
        else:
            self._load_weights(self.bare_model, filename)
            checkpoint = dict(state_dict=self.bare_model.state_dict())
            self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _load_weights(self, model: nn.Module, filename: str) -> None:
        """Load weights into a whole model; adapters, which files need not have, keep what they were built with.

        What the file says of their training is kept in ``trained_on``.
        """
        allowed = {key: list(self.cfg.get(key, ())) for key in ('allow_missing', 'allow_unexpected')}
        if self.cfg.get('lora'):
            allowed['allow_missing'].append(lora.ENTRIES)
        self.trained_on = load_weights(model, filename, **allowed)

    def build_evaluator(self, evaluator: Evaluator | dict | list) -> Evaluator:
        """Build an evaluator that names what a metric asks a sample for in vain."""
        built = super().build_evaluator(evaluator)
        return NamingEvaluator(built.metrics) if type(built) is Evaluator else built

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """MMEngine's logger without its warnings about its own classes; see :func:`.log_lines.outlive_readers`."""
        logger = super().build_logger(*args, **kwargs)
        logger.addFilter(lambda record: not str(record.msg).startswith(_OWN_DEPRECATIONS))
        outlive_readers(logger)
        return logger

    def get_hooks_info(self) -> str:
        """The hooks in the order in which they are called, in one line."""
        return ', '.join(type(hook).__name__ for hook in self.hooks)

    def _log_env(self, env_cfg: dict) -> None:
        """Write what MMEngine would print, two pages, to ``environment.txt`` beside the log, and the gist to the log.

        The config is in the work dir (``dump_config``) and is not repeated.
        """
        facts = {**collect_env(), **env_cfg, 'seed': self.seed, 'world size': self.world_size}
        path = Path(self.log_dir, 'environment.txt')
        if is_main_process():
            write_text(path, ''.join(f'{key}: {value}\n' for key, value in facts.items()))
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
        self.logger.info(
            f'PyTorch {torch.__version__}, {device}, {self.world_size} process(es), seed {self.seed}; '
            f'config and checkpoints: {self.work_dir}; log, scalars and environment.txt: {self.log_dir}'
        )

    def test_on(self, cfg: Config) -> dict[str, float]:
        """Test on other data with the model at hand, whose weights are loaded once, before the first test.

        Args:
            cfg (Config): With ``test_dataloader``, ``test_cfg`` and ``test_evaluator``. Tasks and data preprocessor of
                its ``model`` may have other settings than the present ones, see
                :func:`~xdet.engine.model_settings.change_settings`.

        Returns:
            dict[str, float]: Values of the metrics.
        """
        change_settings(self.bare_model, self.cfg.model, cfg.model)
        self.cfg.model = copy.deepcopy(cfg.model)
        self._test_loop = copy.deepcopy(cfg.test_cfg)
        self._test_dataloader = copy.deepcopy(cfg.test_dataloader)
        self._test_evaluator = copy.deepcopy(cfg.test_evaluator)
        for name in [name for name in self.message_hub.log_scalars if name.startswith('test/')]:
            del self.message_hub.log_scalars[name]  # would be logged again, with the values of the new test
        return self.test()

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimizer; a mistake in its config is a ValueError that names the key."""
        with _naming_key('optim_wrapper'):
            return super().build_optim_wrapper(optim_wrapper)

    def build_param_scheduler(self, scheduler: Any) -> Any:
        """Build schedulers from configs in which floats are fractions of the training, as far as it is long enough."""
        with _naming_key('param_scheduler'):
            resolved, left_out = fit_schedule(resolve_fractions(scheduler, self.max_iters), self.max_iters)
            for name in left_out:
                self.logger.warning(
                    f'param_scheduler {name} is left out: the training (train_cfg.max_iters={self.max_iters}) is too '
                    'short for it'
                )
            return super().build_param_scheduler(resolved)

    def register_hook_from_cfg(self, hook_cfg: dict) -> None:
        """Build a hook; a mistake in its config is a ValueError that names it."""
        with _naming_key(f'custom_hooks {hook_cfg.get("type")}'):
            super().register_hook_from_cfg(hook_cfg)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on with a training, and say which new settings the state of the checkpoint takes the place of.

        Raises:
            ValueError: The file is of no training, of another one, or of an iteration beyond the end of this one.
        """
        before = self._resumed_settings()
        try:
            super().resume(filename, *args, **kwargs)
        except OSError:
            raise
        except Exception as error:  # state of another kind makes optimizers and schedules stumble over anything
            if str(filename) in str(error):
                raise
            raise ValueError(f"cannot resume from '{filename}': {cause(error)}") from error
        after = self._resumed_settings()
        changed = sorted({name for name in {*before, *after} if before.get(name) != after.get(name)})
        if changed:
            self.logger.warning(
                f"{', '.join(changed)} of the config have no effect: those of the checkpoint '{filename}' are kept; to "
                'train its weights with the new ones use --load-from instead of --resume'
            )
        loop = self.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        done, end, key = (loop.epoch, loop.max_epochs, 'epochs') if by_epoch else (loop.iter, loop.max_iters, 'iters')
        if done > end:
            raise ValueError(
                f"cannot resume from '{filename}': it has trained {done} {key}, more than train_cfg.max_{key}={end}"
            )
        if done == end:
            self.logger.warning(
                f"nothing is left to train: '{filename}' has all {done} {key}; to go on set train_cfg.max_{key} higher"
            )

    def _resumed_settings(self) -> dict[str, Any]:
        """Settings of optimizer and schedules that come from a checkpoint when a training is resumed."""
        found: dict[str, Any] = {}
        groups = getattr(self.optim_wrapper, 'param_groups', None) or []
        for name in ('lr', 'weight_decay', 'betas', 'momentum', 'eps'):
            values = [group.get('initial_lr', group.get('lr')) if name == 'lr' else group.get(name) for group in groups]
            found[name] = [tuple(value) if isinstance(value, list) else value for value in values]
        schedulers = self.param_schedulers if isinstance(self.param_schedulers, list) else []
        states = [scheduler.state_dict() for scheduler in schedulers if hasattr(scheduler, 'state_dict')]
        found['param_scheduler'] = [
            {key: value for key, value in state.items() if key in _SCHEDULE_SETTINGS} for state in states
        ]
        return found

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rate; the batch is what an update is made of: all sources, over accumulated iterations."""
        if not (auto_scale_lr or {}).get('enable', False):
            return
        # The config is of no more use: the loop has built the loaders. The base class reads nothing else of it.
        base = auto_scale_lr.get('base_batch_size')
        if isinstance(base, bool) or not isinstance(base, int) or base < 1:
            raise ValueError(f'auto_scale_lr.base_batch_size is {base!r}; accepted are whole numbers from 1')
        batch_size = self.train_dataloader.batch_size * getattr(optim_wrapper, '_accumulative_counts', 1)
        self._train_dataloader = dict(batch_size=batch_size)
        super().scale_lr(optim_wrapper, auto_scale_lr)

    def _maybe_compile(self, target: str) -> None:
        """Compile parts of the model in place, with unchanged names of parameters, instead of the whole step."""
        options = self.cfg.get('compile')
        if not options or target != 'train_step':
            return
        arguments = {} if options is True else dict(options)
        compiler = os.environ.get('CXX', 'g++')
        if arguments.get('backend', 'inductor') == 'inductor' and not shutil.which(compiler):
            self.logger.warning(
                f"compile: nothing is compiled, as there is no C++ compiler '{compiler}'; install one, or name yours "
                'by the environment variable CXX'
            )
            return
        parts = dict(self.bare_model.named_modules())
        children = [name for name, _ in self.bare_model.named_children()]
        for name in arguments.pop('modules', COMPILED_MODULES):
            if name not in parts:
                raise ValueError(f"compile.modules names '{name}'; the model has {', '.join(children)}")
            parts[name].compile(**arguments)
            self.logger.info(f'{name} will be compiled in the first iterations, which therefore take minutes.')

    def _report_drift(self, meta: dict[str, Any], filename: str) -> None:
        """Warn if the training goes on with another config than it began with."""
        drift = config_drift(meta.get('cfg') or '', self.cfg.pretty_text) if meta.get('cfg') else []
        if drift:
            self.logger.warning(
                '\n  '.join([f"the config differs from the one that '{filename}' was trained with:", *drift])
            )

    def _load_resumed(self, state_dict: dict[str, Any], filename: str) -> None:
        try:
            self.bare_model.load_state_dict(state_dict, strict=True)
        except RuntimeError as error:
            problems = ' '.join(line.strip() for line in str(error).splitlines()[1:])
            raise ValueError(f"cannot resume from '{filename}', it is of another model: {problems[:400]}") from error


def _check_parts(model: nn.Module, names: str | Sequence[str]) -> None:
    """Refuse names in ``activation_checkpointing`` that are no part of the model."""
    names = (names,) if isinstance(names, str) else names
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"config key 'activation_checkpointing' is {names!r}; it must be a list of parts of the model")
    for name in names:
        part: Any = model
        for step in name.split('.'):
            known, part = list(dict(part.named_children())), getattr(part, step, None)
            if not isinstance(part, nn.Module):
                raise ValueError(
                    f"config key 'activation_checkpointing' names {name!r}, but there is no {step!r}; there are "
                    f'{", ".join(known) or "no parts"}'
                )


@contextmanager
def _naming_key(key: str) -> Iterator[None]:
    """Mistakes in a part of the config are ValueErrors that name it, whatever stumbled over them."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"config key '{key}': {shorten(cause(error), 500)}") from error


def read_training_checkpoint(filename: str, map_location: str | Callable = 'cpu') -> dict[str, Any]:
    """Read a checkpoint with the state of a training: optimizer, schedules, counters.

    Raises:
        CheckpointError: See :func:`~xdet.compat.checkpoint.read_checkpoint`.
        ValueError: The file holds no training state.
    """
    checkpoint = read_checkpoint(filename, map_location)
    if not isinstance(checkpoint, dict) or not checkpoint.keys() >= set(_TRAINING_STATE):
        raise ValueError(
            f"cannot resume from '{filename}': it holds no training state ({', '.join(_TRAINING_STATE)}); "
            'to start from its weights use --load-from'
        )
    meta = checkpoint['meta']
    counters = [meta.get(key) for key in ('iter', 'epoch')] if isinstance(meta, dict) else [None]
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counters):
        raise ValueError(f"cannot resume from '{filename}': its meta information (iter, epoch) is damaged")
    wrong = [key for key in ('message_hub', 'state_dict') if not isinstance(checkpoint[key], dict)]
    if wrong:
        raise ValueError(f"cannot resume from '{filename}': its {wrong[0]} is damaged")
    return checkpoint
