"""VPQ, STQ and identities against plain implementations that look at one pair of tubes after the other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from xdet.evaluation.film_quality import FilmQuality
from xdet.structures import Vocabulary

VOCABULARY = Vocabulary(('a', 'b', 'c', 'ground'), (True, True, True, False))


def random_film(rng, frames=7, side=10):
    """Blocks of tracks with classes, and a noisy copy whose tracks and classes sometimes change."""
    film = []
    labels = {1: 3, 2: 0, 3: 1, 4: 1}
    for frame in range(frames):
        true = np.ones((side, side), int)
        for number, row in ((2, 0), (3, 4), (4, 7)):
            if rng.random() < 0.85:
                true[row : row + 3, frame // 2 : frame // 2 + 4] = number
        found = np.where(rng.random(true.shape) < 0.15, 1, true) + 10
        found[(found == 12) & (frame > 3)] = 15
        found[rng.random(true.shape) < 0.05] = 0
        true[rng.random(true.shape) < 0.05] = 0
        own = {number + 10: label for number, label in labels.items()} | {15: 0, 13: 2 if frame == 5 else 1}
        film.append((true, segments(true, labels), found, segments(found, own)))
    return film


def segments(numbers, labels):
    return [dict(id=int(number), label=labels[int(number)]) for number in np.unique(numbers) if number]


def plain_vpq(films, window):
    iou, tp, fp, fn = (np.zeros(4) for _ in range(4))
    for film in films:
        for start in range(len(film) - window + 1):
            tubes = [{}, {}]
            for frame, parts in enumerate(film[start : start + window]):
                for side, (numbers, infos) in enumerate((parts[:2], parts[2:])):
                    for info in infos:
                        pixels = {(frame, *at) for at in np.argwhere(numbers == info['id']).tolist()}
                        tubes[side].setdefault((info['id'], info['label']), set()).update(pixels)
            void = {
                (frame, *at) for frame, p in enumerate(film[start : start + window]) for at in np.argwhere(p[0] == 0)
            }
            void = {tuple(map(int, pixel)) for pixel in void}
            used = set()
            for (_, label), pixels in tubes[0].items():
                for other, claimed in tubes[1].items():
                    shared = len(pixels & claimed) / len(pixels | (claimed - void))
                    if other[1] == label and shared > 0.5:
                        iou[label] += shared
                        tp[label] += 1
                        used.add(other)
                        break
                else:
                    fn[label] += 1
            for other, claimed in tubes[1].items():
                if other not in used and len(claimed & void) <= 0.5 * len(claimed):
                    fp[other[1]] += 1
    seen = tp + fp + fn > 0
    return 100 * (iou / np.maximum(tp + fp / 2 + fn / 2, 1e-9))[seen].mean()


def plain_stq(films):
    association, hits, union = [], np.zeros(4), np.zeros(4)
    for film in films:
        tubes = [{}, {}]
        for frame, parts in enumerate(film):
            for side, (numbers, infos) in enumerate((parts[:2], parts[2:])):
                for info in infos:
                    pixels = {(frame, *at) for at in np.argwhere((numbers == info['id']) & (parts[0] > 0)).tolist()}
                    if VOCABULARY.is_thing[info['label']]:
                        tubes[side].setdefault(info['id'], set()).update(pixels)
            for label in range(4):
                true, found = (
                    np.isin(numbers, [info['id'] for info in infos if info['label'] == label])
                    for numbers, infos in (parts[:2], parts[2:])
                )
                hits[label] += (true & found).sum()
                union[label] += ((true | found) & (parts[0] > 0)).sum()
        for pixels in tubes[0].values():
            total = sum(
                len(pixels & claimed) * len(pixels & claimed) / len(pixels | claimed) for claimed in tubes[1].values()
            )
            association.append(total / len(pixels))
    quality = (hits / np.maximum(union, 1))[union > 0].mean()
    return 100 * np.mean(association), 100 * quality


@pytest.mark.parametrize('seed', range(3))
def test_agrees_with_plain_implementations(seed):
    rng = np.random.default_rng(seed)
    films = [random_film(rng), random_film(rng, frames=5)]
    quality = FilmQuality(VOCABULARY, windows=(1, 3, 5))
    for film in films:
        for frame in film:
            quality.add(*frame)
        quality.end_film()
    result = quality.result()
    for window in (1, 3, 5):
        assert result[f'VPQ_{window}'] == pytest.approx(plain_vpq(films, window))
    association, semantic = plain_stq(films)
    assert (result['AQ'], result['SQ']) == pytest.approx((association, semantic))
    assert result['STQ'] == pytest.approx((association * semantic) ** 0.5)
    assert result['PQ'] == result['VPQ_1'] and result['VPQ'] == pytest.approx(
        np.mean([result[f'VPQ_{window}'] for window in (1, 3, 5)])
    )


def test_perfect_films_and_identities():
    true = np.ones((6, 6), int)
    true[1:3, 1:3], true[4:6, 3:6] = 2, 3
    infos = [dict(id=1, label=3), dict(id=2, label=0), dict(id=3, label=1)]
    quality = FilmQuality(VOCABULARY, windows=(1, 2))
    for _ in range(4):
        quality.add(true, infos, true, infos)
    quality.end_film()
    result = quality.result()
    assert [result[name] for name in ('PQ', 'VPQ', 'STQ', 'kept', 'switches')] == [100, 100, 100, 100, 0]

    quality = FilmQuality(VOCABULARY, windows=(1,))
    hidden = np.where(true == 2, 1, true)
    swapped = np.select([true == 2, true == 3], [3, 2], 1)
    other = [dict(id=1, label=3), dict(id=3, label=0), dict(id=2, label=1)]
    for frame in ((true, infos), (true, infos), (hidden, infos[::2]), (swapped, other)):
        quality.add(true, infos, *frame)
    # Track 3 was found in all frames and switched once, track 2 came back as another.
    result = quality.result()
    assert (quality.kept, quality.switched) == (1 + 2, 1) and result['switches'] == 2
    assert (result['kept'], result['kept_again']) == (75, 0)


def test_films_do_not_mix():
    rng = np.random.default_rng(5)
    films = [random_film(rng), random_film(rng)]
    orders = []
    for order in itertools.permutations(films):
        quality = FilmQuality(VOCABULARY, windows=(1, 3))
        for film in order:
            for frame in film:
                quality.add(*frame)
            quality.end_film()
        orders.append(quality.result())
    assert orders[0] == pytest.approx(orders[1])
