"""What makes xdet fast stays: counts of operations, and ratios of times with generous bounds."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from xdet.analysis.flops import count_flops
from xdet.models import XDecoder
from xdet.models.numerics.convolutions import winograd
from xdet.models.numerics.resizing import resize, resize_by_products
from xdet.models.text import TextCache
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample

SIZE = (64, 96)


@pytest.fixture(scope='module')
def model(inferencer) -> XDecoder:
    return inferencer.model


@pytest.fixture(scope='module')
def features(model):
    with torch.no_grad():
        return model.encode(torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0)))


def operations(model: XDecoder, features: object, **prompts: object) -> int:
    """Of one question about an encoded image, with texts that were encoded before."""

    def ask() -> None:
        sample = XDetDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE, batch_input_shape=SIZE))
        model.predict_features(features, [sample], prompts=[TextPrompts(**prompts)])

    ask()
    return count_flops(ask)[1]


def seconds(run: Callable[[], object]) -> float:
    """Least processor time of a few runs, of this thread alone."""
    times = []
    for _ in range(4):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_tokens_of_a_caption_are_computed_once(model, features):
    """A token costs the same wherever it stands, and less than a pass over everything, which it officially takes."""

    def caption(tokens: int) -> int:
        return operations(model, features, tasks=('caption',), generation=dict(max_tokens=tokens))

    one, few, many = caption(1), caption(11), caption(41)
    assert many - few < 3.3 * (few - one)
    assert few < 0.75 * 11 * one


def test_class_names_share_the_beginnings_of_their_templates(model):
    names = Vocabulary(tuple(f'a {word} thing' for word in ('red', 'green', 'blue', 'small', 'large')), (True,) * 5)
    shared, alone = (
        count_flops(lambda share=share: TextCache(model.text_encoder, share_from=share).classes(names))[1]
        for share in (1, 100)
    )
    assert shared < 0.85 * alone


def test_phrases_of_an_image_share_it(model, features, monkeypatch):
    """Its keys, the first attention and the first prediction are made once, also for phrases of several passes."""

    def phrases(number: int) -> int:
        return operations(
            model, features, tasks=('refseg',), phrases=tuple(f'number {index}' for index in range(number))
        )

    one, eight = phrases(1), phrases(8)
    assert eight < 0.8 * 8 * one
    monkeypatch.setattr(model.tasks['referring'], 'phrases_per_pass', 4)
    assert phrases(8) < 1.15 * eight


def test_several_tasks_share_the_latent_queries(model, features):
    names = Vocabulary(('a', 'b'), (True, False))
    three = operations(model, features, tasks=('semantic', 'instance', 'panoptic'), vocabulary=names)
    each = [
        operations(model, features, tasks=(task,), vocabulary=names) for task in ('semantic', 'instance', 'panoptic')
    ]
    assert three < 0.7 * sum(each)


@torch.no_grad()
def test_resizing_by_products_is_faster(one_thread):
    """In the layout of the network's maps; in the other one it depends on the processor which way is faster."""
    maps = torch.randn(1, 256, 100, 152).to(memory_format=torch.channels_last)
    assert 1.2 * seconds(lambda: resize_by_products(maps, (50, 76))) < seconds(lambda: resize(maps, (50, 76)))


@torch.no_grad()
def test_convolutions_with_fewer_multiplications_are_faster(one_thread):
    x, weight = torch.randn(1, 512, 64, 96).to(memory_format=torch.channels_last), torch.randn(512, 512, 3, 3)
    assert 1.1 * seconds(lambda: winograd(x, weight)) < seconds(lambda: F.conv2d(x, weight, padding=1))
