"""Images that belong together stay together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, split_set
from xdet.datasets.exchange.splitting import assign, group_of


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=4, max_size=30),
    val=st.floats(0.1, 0.4),
    test=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 5),
)
@example(sizes=[1, 1, 1, 10], val=0.25, test=0.2, seed=0)
def test_parts_are_of_whole_groups_and_near_to_their_shares(
    sizes: list[int], val: float, test: float, seed: int
) -> None:
    groups = [f'g{number}' for number, size in enumerate(sizes) for _ in range(size)]
    part = assign(groups, val, test, seed)
    assert part.keys() == set(groups) and set(part.values()) == {'train', 'val', *(['test'] if test else [])}
    assert part == assign(groups[::-1], val, test, seed)
    for name, share in (('val', val), ('test', test)):
        count = sum(part[group] == name for group in groups)
        assert abs(count - share * len(groups)) <= max(sizes)


def test_groups_of_a_set() -> None:
    images = tuple(
        AnnotatedImage(f'{camera}/{number}.jpg', (4, 4), fields=dict(video_id=number // 3))
        for camera in ('left', 'right')
        for number in range(12)
    )
    data = AnnotatedSet(('a',), images)
    by_field = split_set(data, 0.25, 0.25, 'field=video_id')
    videos = {name: {image.fields['video_id'] for image in by_field.part(name).images} for name in by_field.splits}
    assert list(videos) == ['train', 'val', 'test'] and sorted(map(len, videos.values())) == [1, 1, 2]
    assert len(set.union(*videos.values())) == 4
    by_folder = split_set(data, 0.5, group='folder')
    assert [{Path(image.file).parent.name for image in by_folder.part(name).images} for name in ('train', 'val')] in (
        [{'left'}, {'right'}],
        [{'right'}, {'left'}],
    )


@pytest.mark.parametrize(
    'group, told', [('field=video', 'its fields are id, video_id'), ('(', 'no regular expression'), ('x', 'not match')]
)
def test_groups_that_there_are_not(group: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        group_of('a/b.jpg', group, dict(id=1, video_id=3))


def test_numbers() -> None:
    assert sorted(assign(list('abcdef'), 2, 1).values()) == ['test', 'train', 'train', 'train', 'val', 'val']
    with pytest.raises(ValueError, match='--test is 7'):
        assign(list('abcdef'), 2, 7)
    with pytest.raises(ValueError, match='--val is 5'):
        assign(list('abcdef'), 5, 1)
    with pytest.raises(ValueError, match='--val: there is 1 image; a split needs two or more'):
        assign(['a'], 0.5)
    assert sorted(assign(list('abc'), 1, 1).values()) == ['test', 'train', 'val']
    with pytest.raises(ValueError, match="all 3 images are of two groups, 'a' and 'b'; a split needs three"):
        assign(list('aab'), 1, 1)
