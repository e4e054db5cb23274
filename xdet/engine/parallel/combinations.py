"""Which options of a training go together; the others are refused before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

_WRAPPERS = ('OptimWrapper', 'MixedPrecisionOptimWrapper')
_FSDP_OPTIONS = ('modules', 'reshard_after_forward')

TABLE = """
                 fsdp  ema  lora  bf16  fp16  accumulation  compile  checkpointing  load_from
fsdp              .    no   yes   yes   no    yes           yes      yes            yes
ema               no   .    yes   yes   yes   yes           yes      yes            yes
lora              yes  yes  .     yes   yes   yes           yes      yes            yes
bf16              yes  yes  yes   .     no    yes           yes      yes            yes
fp16              no   yes  yes   no    .     yes           yes      yes            yes
accumulation      yes  yes  yes   yes   yes   .             yes      yes            yes
compile           yes  yes  yes   yes   yes   yes           .        yes            yes
checkpointing     yes  yes  yes   yes   yes   yes           yes      .              yes
load_from         yes  yes  yes   yes   yes   yes           yes      yes            .
"""
"""Whether two options go together."""

_WHY = {
    ('ema', 'fsdp'): 'averaged weights (--ema, EMAHook) need whole weights in every process',
    ('fp16', 'fsdp'): 'the scale of float16 would not be saved; use --amp bf16',
    ('bf16', 'fp16'): 'there is one type of mixed precision',
}


def allowed(first: str, second: str) -> bool:
    """Whether two options of :data:`TABLE` go together."""
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    answers = {row[0]: dict(zip(header, row[1:], strict=True)) for row in rows}
    return answers[first][second] != 'no'


def options_of(cfg: Config | Mapping[str, Any]) -> tuple[str, ...]:
    """The options of :data:`TABLE` that a config uses."""
    wrapper = cfg.get('optim_wrapper') or {}
    hooks = [hook.get('type') for hook in cfg.get('custom_hooks') or () if isinstance(hook, Mapping)]
    half = wrapper.get('dtype', 'bfloat16') if wrapper.get('type') == 'MixedPrecisionOptimWrapper' else None
    used = dict(
        fsdp=cfg.get('fsdp') is not None,
        ema='EMAHook' in hooks,
        lora=bool(cfg.get('lora')),
        bf16=half == 'bfloat16',
        fp16=half == 'float16' or wrapper.get('type') == 'AmpOptimWrapper',
        accumulation=wrapper.get('accumulative_counts', 1) != 1,
        compile=bool(cfg.get('compile')),
        checkpointing=bool(cfg.get('activation_checkpointing')) or _has(cfg.get('model'), 'with_cp'),
        load_from=bool(cfg.get('load_from')) and not cfg.get('resume'),
    )
    return tuple(name for name, there in used.items() if there)


def check_combinations(cfg: Config | Mapping[str, Any]) -> None:
    """Refuse what does not go together, what xdet has no more, and numbers that cannot be meant.

    Raises:
        ValueError: With what to use instead.
    """
    wrappers = [cfg.get(key) for key in ('model_wrapper_cfg', 'optim_wrapper')]
    types = [wrapper.get('type') for wrapper in wrappers if isinstance(wrapper, Mapping)]
    if cfg.get('deepspeed') is not None or 'DeepSpeedModel' in types or 'ZeroOptimWrapper' in types:
        raise ValueError(
            'deepspeed is not supported any more; use fsdp=dict() (weights, gradients and optimizer state are divided) '
            'or fsdp=dict(reshard_after_forward=False) (weights stay whole from the forward to the backward pass)'
        )
    wrapper = cfg.get('optim_wrapper') or {}
    if not isinstance(wrapper, Mapping):
        raise ValueError(f'optim_wrapper is {wrapper!r}; it must be a dict')
    counts = wrapper.get('accumulative_counts', 1)
    if isinstance(counts, bool) or not isinstance(counts, int) or counts < 1:
        raise ValueError(f'optim_wrapper.accumulative_counts is {counts!r}; accepted are whole numbers from 1')
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size', 1)
    if scaling.get('enable') and (isinstance(base, bool) or not isinstance(base, int) or base < 1):
        raise ValueError(f'auto_scale_lr.base_batch_size is {base!r}; accepted are whole numbers from 1')
    used = options_of(cfg)
    for place, first in enumerate(used):
        for second in used[place + 1 :]:
            if not allowed(first, second):
                raise ValueError(f'{first} and {second} do not go together: {_WHY[tuple(sorted((first, second)))]}')
    if 'fsdp' in used:
        _check_fsdp(cfg, wrapper)


def _check_fsdp(cfg: Config | Mapping[str, Any], wrapper: Mapping[str, Any]) -> None:
    options = cfg['fsdp']
    if not isinstance(options, Mapping) or set(options) - set(_FSDP_OPTIONS):
        raise ValueError(f'fsdp is {options!r}; it must be a dict with any of {", ".join(_FSDP_OPTIONS)}')
    if wrapper.get('type', 'OptimWrapper') not in _WRAPPERS:
        raise ValueError(f'fsdp: optim_wrapper is {wrapper["type"]}; accepted are {" and ".join(_WRAPPERS)}')


def _has(node: Any, key: str) -> bool:
    """Whether a key is set anywhere in a config."""
    if isinstance(node, Mapping):
        return bool(node.get(key)) or any(_has(value, key) for value in node.values())
    return isinstance(node, (list, tuple)) and any(_has(value, key) for value in node)
