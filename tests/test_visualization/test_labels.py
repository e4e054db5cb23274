import numpy as np

from xdet.visualization.labels import Label, _place, draw_labels, fit_text

GREY = np.array([90, 90, 90], dtype=np.uint8)


def changed(before, after):
    return (before != after).any(axis=-1)


def test_label_lies_around_its_point():
    image = np.full((200, 300, 3), 255, dtype=np.uint8)
    rows, columns = np.nonzero(changed(image, draw_labels(image, [Label('dog', 150, 100, GREY, 1.0)], 16)))
    assert abs(columns.mean() - 150) < 2 and abs(rows.mean() - 100) < 2


def test_label_stays_inside_the_picture():
    image = np.full((60, 90, 3), 255, dtype=np.uint8)
    for x, y in ((0, 0), (89, 0), (0, 59), (89, 59)):
        placed = _place(Label('window', x, y, GREY, 1.0), (90, 60), [], 14)
        x1, y1, x2, y2 = placed[1]
        assert 0 <= x1 < x2 <= 90 and 0 <= y1 < y2 <= 60
        assert changed(image, draw_labels(image, [Label('window', x, y, GREY, 1.0)], 14)).any()


def test_labels_do_not_overlap_and_the_lightest_gives_way():
    taken = []
    for _ in range(20):
        placed = _place(Label('person', 100, 100, GREY, 1.0), (200, 200), taken, 14)
        if placed is None:
            break
        taken.append(placed[1])
    assert len(taken) == 5  # its place, and one and two lines above and below
    for index, left in enumerate(taken):
        for right in taken[index + 1 :]:
            assert left[3] <= right[1] or right[3] <= left[1]


def test_no_label_where_none_fits():
    image = np.full((5, 400, 3), 255, dtype=np.uint8)
    assert not changed(image, draw_labels(image, [Label('dog', 200, 2, GREY, 1.0)], 11)).any()


def test_long_and_odd_names_are_made_to_fit():
    assert fit_text('a' * 100, 10_000, 12) == 'a' * 39 + '…'
    assert fit_text('two\nlines', 10_000, 12) == 'two lines'
    assert fit_text('refrigerator', 40, 12).endswith('…')
    assert fit_text('refrigerator', 3, 12) is None
