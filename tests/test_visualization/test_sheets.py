import numpy as np
import pytest

from xdet.visualization import below, beside, ranking_sheet, thumbnail


def picture(value, size=(30, 40)):
    return np.full((*size, 3), (value, 0, value), np.uint8)


def test_images_stand_in_order():
    sheet = ranking_sheet('a dog', [picture(10), picture(90), picture(170)], [0.9, 0.5, -0.1], columns=2)
    places = [np.argwhere((sheet == (value, 0, value)).all(axis=2)).mean(axis=0) for value in (10, 90, 170)]
    assert places[0][0] == places[1][0] < places[2][0]  # two in the first row, one in the second
    assert places[0][1] == places[2][1] < places[1][1]


def test_title_of_any_length_and_language():
    short = ranking_sheet('a dog', [picture(1)], [0.1])
    long = ranking_sheet(
        'eine sehr lange Beschreibung 一只狗 🐶 ' * 12, [picture(1)], [0.1], ['folder/' * 30 + 'x.jpg']
    )
    assert long.shape[0] > short.shape[0] and long.shape[1] == short.shape[1]
    assert ranking_sheet('nothing', [], []).shape[2] == 3


def test_numbers_must_agree():
    with pytest.raises(ValueError, match='2 images, 1 scores and 2 names'):
        ranking_sheet('a', [picture(1), picture(2)], [0.1], ['x', 'y'])


@pytest.mark.parametrize('size, expected', [((1000, 500), (100, 50)), ((30, 40), (30, 40)), ((1, 4000), (1, 100))])
def test_thumbnails(size, expected):
    assert thumbnail(picture(0, size), 100).shape == (*expected, 3)


def test_panels_of_other_sizes_are_kept_whole():
    row = beside([picture(10), picture(90, (20, 10))])
    assert row.shape == (30, 40 + 6 + 10, 3) and (row[20:, 46:] == 255).all()
    sheet = below([row, picture(170, (5, 90))])
    assert sheet.shape == (35, 90, 3) and (sheet[:30, 56:] == 255).all()
    assert [(sheet == (value, 0, value)).all(axis=2).sum() for value in (10, 90, 170)] == [1200, 200, 450]
