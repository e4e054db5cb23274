"""Writes down what a model is trained with, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.compat.checkpoint import known_words_of
from xdet.registry import HOOKS
from xdet.structures import KnownWords, XDetDataSample
from xdet.structures.known_words import KEY


@HOOKS.register_module()
class KnownWordsHook(Hook):
    """Keeps the training vocabulary (:class:`~xdet.structures.KnownWords`) in the meta information of checkpoints.

    It consists of the class names, phrases, captions, questions and answers of all samples so far, over all processes
    and sources, and of what the weights that the training starts from bring along. Where these bring none, as the
    official ones do, nothing is written: what such a model knows besides is not known.

    Args:
        interval (int): Iterations after which processes exchange what is new; before that, a checkpoint has the words
            of the first one only.
    """

    priority = 'NORMAL'  # before checkpoints are written

    def __init__(self, interval: int = 50) -> None:
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f'KnownWordsHook: interval is {interval!r}; accepted are whole numbers from 1')
        self.interval = interval
        self.known: KnownWords | None = None
        self._resumed: dict[str, Any] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note what a resumed training knows."""
        if 'meta' in checkpoint:
            self._resumed = checkpoint['meta']

    def before_train(self, runner: Runner) -> None:
        """Start with what the weights bring along."""
        loaded = getattr(runner, 'trained_on', None)
        if self._resumed is not None:
            self.known = known_words_of(dict(state_dict={}, meta=self._resumed), 'the resumed checkpoint')
        else:
            self.known = KnownWords() if loaded is None else loaded.get(KEY)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Add the words of a batch."""
        if self.known is None:
            return
        new = KnownWords.of_samples(_samples(data_batch))
        if not self.known.covers(new):
            self.known |= new
        if get_world_size() > 1 and (
            self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        ):
            for plain in all_gather_object(self.known.to_plain()):
                self.known |= KnownWords.from_plain(plain)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the vocabulary to what is written."""
        if self.known is not None:
            checkpoint['meta'][KEY] = self.known.to_plain()


def _samples(batch: Any) -> Iterator[XDetDataSample]:
    """Samples of a batch, which joint training has one of for every source."""
    if isinstance(batch, XDetDataSample):
        yield batch
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from _samples(part)
    elif isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        for part in batch:
            yield from _samples(part)
