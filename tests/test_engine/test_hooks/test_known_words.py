"""The training vocabulary grows with the samples and travels through checkpoints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.structures import InstanceData
from tiny.ranks import needs_ranks, on_two_ranks

from xdet.engine.hooks import KnownWordsHook
from xdet.structures import KnownWords, Vocabulary, XDetDataSample
from xdet.structures.known_words import KEY


def batch(name: str, caption: str = '') -> dict[str, Any]:
    sample = XDetDataSample(metainfo=dict(vocabulary=Vocabulary((name,), (True,)), caption=caption))
    sample.gt_segments = InstanceData(labels=torch.zeros(0, dtype=torch.int64))
    return dict(inputs=[torch.zeros(1)], data_samples=[sample])


def run(hook: KnownWordsHook, batches: list[Any], trained_on: dict | None = None) -> dict[str, Any]:
    """Meta information of the checkpoint after a training."""
    runner = SimpleNamespace(trained_on=trained_on, iter=0, max_iters=len(batches))
    hook.before_train(runner)
    for runner.iter, content in enumerate(batches):
        hook.after_train_iter(runner, runner.iter, content)
    checkpoint: dict[str, Any] = dict(meta={})
    hook.before_save_checkpoint(runner, checkpoint)
    return checkpoint['meta']


def test_words_of_all_batches_and_sources() -> None:
    meta = run(KnownWordsHook(), [batch('dog'), dict(a=batch('cat', 'a red sky'), b=batch('dog'))])
    known = KnownWords.from_plain(meta[KEY])
    assert known.names == ('dog', 'cat') and known.text_words == {'a', 'red', 'sky'}


def test_going_on_from_weights_adds_to_what_they_bring() -> None:
    brought = KnownWords(('cat',), also=('kitten',), others=('balloon',), threshold=0.2)
    meta = run(KnownWordsHook(), [batch('balloon')], dict(known_words=brought))
    assert KnownWords.from_plain(meta[KEY]) == KnownWords(('cat', 'balloon'), also=('kitten',), threshold=0.2)


def test_weights_that_bring_none_leave_it_open() -> None:
    assert run(KnownWordsHook(), [batch('dog')], trained_on={}) == {}


@pytest.mark.parametrize('before', [dict(known_words=KnownWords(('cat',)).to_plain()), {}])
def test_resumed_training(before: dict[str, Any]) -> None:
    hook = KnownWordsHook()
    hook.after_load_checkpoint(SimpleNamespace(), dict(meta=dict(iter=5, **before)))
    meta = run(hook, [batch('dog')], trained_on=None)
    assert meta == ({KEY: KnownWords(('cat', 'dog')).to_plain()} if before else {})


@pytest.mark.parametrize('interval', [0, True, 2.5])
def test_impossible_intervals(interval: Any) -> None:
    with pytest.raises(ValueError, match='KnownWordsHook: interval is .* whole numbers from 1'):
        KnownWordsHook(interval)


def _names_of_two_ranks() -> list[str]:
    own = 'dog' if get_rank() == 0 else 'cat'
    meta = run(KnownWordsHook(interval=1000), [batch(own), batch('sky')])
    return sorted(meta[KEY]['names'])


@needs_ranks
def test_processes_exchange_what_they_saw(tmp_path: Path) -> None:
    assert on_two_ranks(_names_of_two_ranks, tmp_path) == [['cat', 'dog', 'sky']] * 2
