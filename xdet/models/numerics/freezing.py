"""Training modes of models of which only a part is trained."""

from __future__ import annotations

from torch import nn


def keep_frozen_in_eval(module: nn.Module) -> None:
    """Put every part whose parameters are all frozen into evaluation mode.

    What does not learn should not be disturbed either: without this, drop path and dropout would go on perturbing a
    frozen backbone, and batch norms would go on collecting statistics. Parts without parameters follow the part that
    contains them.

    Args:
        module (nn.Module): A model in training mode, changed in place.
    """
    # Looked at one by one: the first of a part that learns is enough, and this is done before every step.
    if not any(parameter.requires_grad for parameter in module.parameters()):
        if next(module.parameters(), None) is not None:
            module.eval()
        return
    for child in module.children():
        keep_frozen_in_eval(child)
