from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdet.io.schema import ID, checked, number, require, shown


@pytest.mark.parametrize(
    ('value', 'kind', 'result'),
    [
        (5, int, 5),
        (640.0, int, 640),
        (2, float, 2),
        (True, bool, True),
        (0.0, bool, False),
        ('a', ID, 'a'),
        (7, ID, 7),
        ([1], list, [1]),
        ({}, (list, dict), {}),
    ],
)
def test_accepted(value: Any, kind: Any, result: Any) -> None:
    found = checked(value, kind, 'x')
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ('value', 'kind'),
    [
        (True, int),
        ('5', int),
        (5.5, int),
        (float('nan'), float),
        (float('inf'), float),
        pytest.param(10**400, float, id='400 digits'),
        (False, float),
        (2, bool),
        ('1', bool),
        ([], ID),
        ({}, list),
        ([], dict),
        ('x' * 10**6, list),
        pytest.param(10**10000, str, id='10000 digits'),
    ],
)
def test_refused(value: Any, kind: Any) -> None:
    with pytest.raises(ValueError, match=r"a\.json: image 3: 'key' is .*; it must be ") as caught:
        require({'key': value}, 'key', kind, 'a.json: image 3')
    assert len(str(caught.value)) < 400


def test_absent_and_null() -> None:
    assert require({'key': None}, 'key', int, 'x', default=4) == 4
    assert require({}, 'key', int, 'x', default=None) is None
    with pytest.raises(ValueError, match="x: 'key' is missing; it must be a whole number"):
        require({}, 'key', int, 'x')
    with pytest.raises(ValueError, match="x: 'key' is null; it must be a whole number or a text"):
        require({'key': None}, 'key', ID, 'x')
    with pytest.raises(ValueError, match=r'x: is \[1\]; it must be an object'):
        require([1], 'key', int, 'x')


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON, st.sampled_from([int, float, str, bool, list, dict, ID]))
def test_anything_is_accepted_or_named(value: Any, kind: Any) -> None:
    try:
        require({'key': value}, 'key', kind, 'here')
    except ValueError as error:
        assert str(error).startswith("here: 'key' is ")
    assert len(shown(value)) < 300


@pytest.mark.parametrize(
    ('value', 'kind'),
    [(3, int), (np.int64(3), int), (np.uint8(3), int), (3, float), (0.5, float), (np.float32(0.5), float)],
)
def test_numbers_of_numpy_are_as_good(value: Any, kind: type) -> None:
    given = number('k', value, kind, 0, 4)
    assert given == value
    assert type(given) in (int, float)


@pytest.mark.parametrize('value', [None, 'x', True, np.bool_(1), float('nan'), -1, 5, [1], 10**400, 1j, np.array([1])])
@pytest.mark.parametrize(('kind', 'words'), [(int, 'whole numbers'), (float, 'numbers')])
def test_other_arguments_are_named(value: Any, kind: type, words: str) -> None:
    with pytest.raises(ValueError, match=f'^k is .*; accepted are {words} from 0 to 4$') as caught:
        number('k', value, kind, 0, 4)
    assert len(str(caught.value)) < 200
