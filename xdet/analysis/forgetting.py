"""What a fine-tuning cost: new and old abilities, with the change of the weights taken in whole or in part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from xdet.engine.optim.lora import add_lora, check_options, merge_lora

from .tables import Cell


def plain_weights(cfg: Mapping, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a training without its adapters: LoRA is added to what it adapts.

    Args:
        cfg (Mapping): Config of the training; only its ``lora`` and ``model`` count.
        weights (Mapping[str, Tensor]): Of its checkpoint.

    Raises:
        ImportError: They have adapters, and peft is not installed.
        ValueError: They have adapters, and the config none.
    """
    if not any('.lora_A.' in name for name in weights):
        return dict(weights)
    if not cfg.get('lora'):
        raise ValueError('the checkpoint has LoRA adapters, but its config no `lora`; name the config of the training')
    from xdet.registry import MODELS

    model = MODELS.build(cfg['model'])
    add_lora(model, **check_options(cfg['lora']))
    model.load_state_dict(dict(weights))
    merge_lora(model)
    return dict(model.state_dict())


def between(before: Mapping[str, Tensor], after: Mapping[str, Tensor], strength: float) -> dict[str, Tensor]:
    """Weights that have changed by a share of what the training changed (for LoRA, its strength; arXiv 2109.01903).

    Args:
        before (Mapping[str, Tensor]): Where the training started.
        after (Mapping[str, Tensor]): Where it ended.
        strength (float): 0 are those before, 1 those after, to the bit; between and beyond them, on the line.

    Returns:
        dict[str, Tensor]: What both have in equal shapes and floating point, as said; what only one has, unchanged;
        else that after.
    """
    mixed = {**before, **after}
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if old.shape == new.shape and old.is_floating_point():
            if strength == 0:
                mixed[name] = old
            elif strength != 1:
                mixed[name] = (old.double() + strength * (new.double() - old.double())).to(new.dtype)
    return mixed


def weights_for(
    model: Mapping[str, Tensor], mixed: Mapping[str, Tensor], before: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The part of mixed weights that a model takes; what has another shape in it is as it was before.

    Args:
        model (Mapping[str, Tensor]): Its own, for their names and shapes.
        mixed (Mapping[str, Tensor]): See :func:`between`.
        before (Mapping[str, Tensor]): Where the training started.

    Raises:
        ValueError: Neither has a weight that it needs.
    """
    chosen = {}
    for name, own in model.items():
        found = next(
            (state[name] for state in (mixed, before) if name in state and state[name].shape == own.shape), None
        )
        if found is None:
            raise ValueError(f'neither the weights before nor those after have {name} {tuple(own.shape)}')
        chosen[name] = found
    return chosen


def forgetting_table(
    results: Mapping[str, Mapping[float, Mapping[str, float]]], keys: Sequence[str] | None = None
) -> tuple[list[str], list[list[Cell]]]:
    """Header and rows: a row per test and value, a column per strength, and what the whole change did.

    Args:
        results (Mapping): By test, by strength, the values.
        keys (Sequence[str], optional): Values to show; None are all.
    """
    strengths = sorted({strength for found in results.values() for strength in found})
    ends = 0.0 in strengths and 1.0 in strengths
    header = ['test', 'value', *(f'{strength:g}' for strength in strengths), *(['change'] if ends else [])]
    rows: list[list[Cell]] = []
    for test, found in results.items():
        for key in dict.fromkeys(key for values in found.values() for key in values):
            if keys is None or key in keys:
                values = [found.get(strength, {}).get(key) for strength in strengths]
                first, last = (found.get(end, {}).get(key) for end in (0.0, 1.0))
                change = [last - first if first is not None and last is not None else None] if ends else []
                rows.append([test, key, *values, *change])
    return header, rows
