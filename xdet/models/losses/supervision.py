"""Which of the predictions of all layers a loss supervises."""

from __future__ import annotations


def supervised_layers(num_predictions: int, num_layers: int) -> dict[int, str]:
    """The last ``num_layers`` of ``num_predictions`` predictions and what their losses' names start with.

    Returns:
        dict[int, str]: ``d{k}.`` for prediction k (0: raw queries), nothing for the final one.

    Raises:
        ValueError: ``num_layers`` is not positive.
    """
    if num_layers < 1:
        raise ValueError(f'num_layers is {num_layers}; a loss needs at least 1 prediction layer')
    last = num_predictions - 1
    first = max(0, num_predictions - num_layers)
    return {layer: '' if layer == last else f'd{layer}.' for layer in range(first, num_predictions)}
