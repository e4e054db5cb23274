"""Views in any form they are asked for."""

from __future__ import annotations

import pytest

from xdet.structures.views import PLAIN, View, views_of


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ('1, flip, 1.5, 0.5 flip', [(1, False), (1, True), (1.5, False), (0.5, True)]),
        ([1, 'flip', 1.5], [(1, False), (1, True), (1.5, False)]),
        (1, [(1, False)]),
        (2.0, [(2, False)]),
        ('flip 0.75', [(0.75, True)]),
        (PLAIN, [(1, False)]),
        (View(2, True), [(2, True)]),
    ],
)
def test_views_in_any_form(value, expected) -> None:
    views = views_of(value)
    assert list(views) == expected
    assert views_of(', '.join(map(str, views))) == views_of(list(map(str, views))) == views


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ('', "views has ''; accepted are a scale such as 1.5, 'flip', and both, '1.5 flip'"),
        ('1,', "views has ''"),
        ([], 'views has no view; accepted are different ones'),
        ('1, 1.0', "views names '1' more than once"),
        ('mirror', "views has 'mirror'"),
        ('flip flip', "views has 'flip flip'"),
        ('1 2', "views has '1 2'"),
        (True, 'views has True'),
        ([None], 'views has null'),
        (0.1, 'a scale of views is 0.1; accepted are numbers from 0.25 to 4'),
        ('nan', 'a scale of views is nan'),
        ('1e9', 'a scale of views is'),
    ],
)
def test_unusable_views_end_in_one_line(value, message) -> None:
    with pytest.raises(ValueError, match=message):
        views_of(value)
