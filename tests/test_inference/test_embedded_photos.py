"""The embedded model of photographs is the default; nothing here depends on how good its weights are, see test_tour."""

from __future__ import annotations

from xdet.apis import XDecoderInferencer
from xdet.model_zoo import DEFAULT_MODEL, EMBEDDED


def test_weights_are_small_enough_to_ship() -> None:
    assert EMBEDDED['photos'].weights.stat().st_size <= 22e6


def test_default_model() -> None:
    """The weights fit the config, and class names and note are those of the model."""
    inferencer = XDecoderInferencer(device='cpu')
    assert inferencer.embedded is EMBEDDED[DEFAULT_MODEL] is EMBEDDED['photos']
    assert inferencer.origin.knows == EMBEDDED['photos'].knows
    assert inferencer.default_vocabulary == EMBEDDED['photos'].vocabulary
