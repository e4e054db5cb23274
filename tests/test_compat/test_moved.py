"""Every old module name still leads to its module, with a warning."""

import sys
from importlib import import_module

import pytest

from xdet.compat.moved import MOVED


@pytest.mark.parametrize('old', sorted(MOVED))
def test_old_name_is_the_moved_module(old: str) -> None:
    with pytest.warns(DeprecationWarning, match=MOVED[old].replace('.', r'\.')):
        sys.modules.pop(old, None)
        assert import_module(old) is import_module(MOVED[old])
    assert import_module(MOVED[old]).__spec__.name == MOVED[old]
