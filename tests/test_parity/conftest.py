"""Full-size models that several files of tests share; tests must leave them as they are."""

import pytest
from parity.model import full_size_model


@pytest.fixture(scope='session')
def golden_focal_t(focal_t_state):
    """Focal-T with the weights of the golden numbers."""
    return full_size_model('focal-t', focal_t_state('golden'))


@pytest.fixture(scope='session')
def filler_focal_t(focal_t_state):
    """Focal-T with the weights of the recorded cases."""
    return full_size_model('focal-t', focal_t_state('filler'))
