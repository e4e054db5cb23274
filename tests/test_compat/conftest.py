"""A small model and other weights for it."""

import pytest
import torch
from tiny.weights import small_model


@pytest.fixture(scope='module')
def source():
    """State dict of a model with random values everywhere."""
    from mmengine.registry import init_default_scope

    init_default_scope('xdet')
    return {
        key: torch.randn_like(value) if value.is_floating_point() else value
        for key, value in small_model().state_dict().items()
    }


@pytest.fixture
def model():
    return small_model()
