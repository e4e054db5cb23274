import numpy as np
import pytest

from xdet.visualization import TextLine, add_text_strip
from xdet.visualization.fonts import font
from xdet.visualization.text_strip import wrap_text

IMAGE = np.full((100, 400, 3), 7, np.uint8)


def test_strip_lies_below_the_picture():
    drawn = add_text_strip(IMAGE, [TextLine('a dog on a beach')], 16)
    assert drawn.shape[1] == 400 and drawn.shape[0] > 100
    assert (drawn[:100] == IMAGE).all() and drawn[100:].min() < 60 and (drawn[100:, -1] == 255).all()
    assert add_text_strip(IMAGE, [], 16) is IMAGE


def test_more_text_needs_more_rows():
    one, two = (add_text_strip(IMAGE, [TextLine('a dog on a beach ' * count)], 16) for count in (1, 8))
    assert two.shape[0] > one.shape[0] + 3 * 16


def test_bars_are_as_long_as_their_share():
    lines = [TextLine('', share=0.5), TextLine('', share=1.0), TextLine('', share=0.0), TextLine('', share=-0.2)]
    bars = (add_text_strip(IMAGE, lines, 16)[100:] != 255).any(axis=2).sum(axis=1)
    lengths = [int(length) for length in np.unique(bars[bars > 0])]
    assert lengths == [pytest.approx(192, abs=2), pytest.approx(384, abs=2)]


def test_narrow_picture_gets_room_for_text():
    drawn = add_text_strip(np.zeros((50, 3, 3), np.uint8), [TextLine('a dog on a beach')], 16)
    assert drawn.shape[1] >= 300 and (drawn[:50, :3] == 0).all() and (drawn[:50, 3:] == 255).all()


@pytest.mark.parametrize('bold', [False, True])
@pytest.mark.parametrize('text', ['a dog on a beach ' * 9, 'w' * 500, 'x ' + 'y' * 90 + ' z', 'one'])
def test_rows_fit_and_lose_nothing(text, bold):
    rows = wrap_text(text, 200, 16, bold)
    assert all(font(16, bold).getlength(row) <= 200 for row in rows) and all(rows)
    assert ''.join(rows).replace(' ', '') == text.replace(' ', '')


@pytest.mark.parametrize(
    'text', ['', ' ', '一只狗 🐶', '\ud83d', 'a\x00b\u202e', '\n\n', 'e\u0301' * 50, '\u0627\u0644']
)
def test_any_text_can_be_drawn(text):
    assert add_text_strip(IMAGE, [TextLine(text, share=0.3), TextLine(text, bold=True)], 16).shape[1] == 400
