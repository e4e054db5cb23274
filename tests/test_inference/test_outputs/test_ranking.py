import numpy as np

from xdet.inference.outputs import ranking
from xdet.inference.outputs.ranking import Ranking


def prediction(index, *scores):
    texts = [dict(text=f'text {number}', score=score) for number, score in enumerate(scores)]
    return dict(index=index, image=f'{index}.png', texts=texts)


def test_order_and_ties():
    images = Ranking()
    for index, scores in enumerate([(0.1, 0.5), (0.9, 0.5), (-0.2, 0.7)]):
        images.add(prediction(index, *scores), np.zeros((4, 4, 3), np.uint8))
    first, second = images.rankings()
    assert [row['index'] for row in first['images']] == [1, 0, 2]
    assert [row['index'] for row in second['images']] == [2, 0, 1]
    assert first['images'][0] == dict(rank=1, index=1, image='1.png', score=0.9)


def test_only_pictures_that_can_be_shown_are_kept(monkeypatch):
    monkeypatch.setattr(ranking, 'SHOWN', 2)
    images = Ranking(with_pictures=True)
    for index, score in enumerate([0.3, 0.1, 0.5, 0.2, 0.4]):
        images.add(prediction(index, score, -score), np.zeros((400, 300, 3), np.uint8))
        assert len(images._pictures) <= 4
    assert set(images._pictures) == {2, 4, 1, 3}
    assert len(images.sheets()) == 2
    assert images.summary()[:2] == ["best for 'text 0':", '  1  +0.500  2.png']


def test_nothing_to_rank():
    assert Ranking(with_pictures=True).sheets() == [] == Ranking().rankings()


def test_time_of_an_image_does_not_grow_with_their_number(monkeypatch):
    """What is compared for an image is the heaps' content, not all images before it."""
    images = Ranking(with_pictures=True)
    monkeypatch.setattr(images, '_sorted', None)
    monkeypatch.setattr(ranking, 'thumbnail', lambda image: image)
    scores = np.random.default_rng(0).random((3000, 3))
    for index, row in enumerate(scores.tolist()):
        images.add(prediction(index, *row), np.zeros((1, 1, 3), np.uint8))
    best = {index for column in scores.T for index in np.argsort(-column)[: ranking.SHOWN].tolist()}
    assert set(images._pictures) == best
