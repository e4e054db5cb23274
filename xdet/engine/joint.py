"""Training on several sources of data at once, each with batches of its own (docs/training.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from xdet.registry import LOOPS


class JointDataLoader:
    """Several data loaders in step: every batch is ``{source: batch of that source}``.

    Sources need not be equally long; each cycles on its own. What is asked of a data loader as a whole, its length and
    its dataset, is that of the first source, so an epoch is one pass of the first.

    Args:
        loaders (Mapping[str, DataLoader]): Data loaders by the name of their source.
    """

    def __init__(self, loaders: Mapping[str, DataLoader]) -> None:
        self.loaders = dict(loaders)
        self._first = next(iter(self.loaders.values()))

    @property
    def dataset(self) -> Any:
        """Dataset of the first source."""
        return self._first.dataset

    @property
    def batch_size(self) -> int:
        """Samples of all sources in one batch."""
        return sum(loader.batch_size for loader in self.loaders.values())

    def __len__(self) -> int:
        return len(self._first)

    def __iter__(self) -> JointIterator:
        return JointIterator(self.loaders)


class JointIterator:
    """Endless iterator over :class:`JointDataLoader` that can skip what was trained on before an interruption."""

    def __init__(self, loaders: Mapping[str, DataLoader]) -> None:
        self._iterators = {name: _InfiniteDataloaderIterator(loader) for name, loader in loaders.items()}

    def __iter__(self) -> JointIterator:
        return self

    def __next__(self) -> dict[str, Any]:
        return {name: next(iterator) for name, iterator in self._iterators.items()}

    def skip_iter(self, num_iters: int) -> None:
        """Move every source on by so many batches."""
        for iterator in self._iterators.values():
            iterator.skip_iter(num_iters)


@LOOPS.register_module()
class JointTrainLoop(IterBasedTrainLoop):
    """Each iteration takes one batch of every source, sums their losses and updates the parameters once.

    Sources pass through the model one after another, and each is differentiated before the next one begins: the
    gradient is that of the sum, but memory is needed for the largest source instead of all. With several processes,
    gradients are exchanged once, with the last source.

    Logged losses carry the name of their source, as in ``coco.loss_mask_0``; they are weighted, so that those of a
    source add up to ``coco.loss``, and these to ``loss``.

    Args:
        runner (Runner): Runner of the training.
        dataloader (dict[str, dict | DataLoader | None]): Data loaders, or their configs, by the name of their source.
            A source that is None is left out, so that a config can do without one of its base.
        max_iters (int): Iterations.
        weights (Mapping[str, float], optional): What the losses of a source are multiplied with, where not 1.
        kwargs: Other arguments of ``IterBasedTrainLoop``.

    Raises:
        ValueError: ``dataloader`` is not by source, weights name no source or are not positive, or the model is
            distributed without ``find_unused_parameters``.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Mapping[str, dict | DataLoader | None],
        max_iters: int,
        weights: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        sources = _sources(dataloader)
        self.weights = {**dict.fromkeys(dataloader, 1.0), **(weights or {})}
        _check_weights(self.weights, dataloader)
        _check_wrapper(runner.model, len(sources))
        loaders = {name: _build_loader(runner, source) for name, source in sources.items()}
        super().__init__(runner, JointDataLoader(loaders), max_iters, **kwargs)
        self.dataloader_iterator = iter(self.dataloader)

    def run_iter(self, data_batch: dict[str, Any]) -> None:
        """One update from one batch per source."""
        self.runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=data_batch)
        outputs: dict[str, Tensor] = {}
        last = next(reversed(data_batch))
        for name, batch in data_batch.items():
            step = SourceStep(self.runner.optim_wrapper, self.weights[name], updates=name == last)
            for key, value in self.runner.model.train_step(batch, optim_wrapper=step).items():
                # MMEngine takes whatever has `loss` in its name for a term of the sum.
                weight = self.weights[name] if 'loss' in key else 1.0
                outputs[f'{name}.{key}'] = weight * value.detach()
        total = sum(outputs[f'{name}.loss'] for name in data_batch)
        self.runner.call_hook(
            'after_train_iter', batch_idx=self._iter, data_batch=data_batch, outputs=dict(loss=total, **outputs)
        )
        self._iter += 1


class SourceStep:
    """What ``model.train_step`` sees in place of the optimizer wrapper, when one of several sources has its turn.

    Args:
        optim_wrapper (OptimWrapper): The wrapper of the training.
        weight (float): Factor of the source's loss.
        updates (bool): Whether this is the last source: gradients are exchanged between processes and, where
            accumulation ends, parameters updated. Before that, gradients are only added up.
    """

    def __init__(self, optim_wrapper: OptimWrapper, weight: float, updates: bool) -> None:
        self.optim_wrapper = optim_wrapper
        self.weight = weight
        self.updates = updates

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward pass: precision of the wrapper, and no exchange of gradients before the last source."""
        silent = nullcontext() if self.updates or not hasattr(model, 'no_sync') else model.no_sync()
        with silent, self.optim_wrapper.optim_context(model):
            yield

    def update_params(self, loss: Tensor) -> None:
        """Backward pass and, with the last source, the update."""
        loss = self.weight * loss
        if self.updates:
            self.optim_wrapper.update_params(loss)
            return
        self.optim_wrapper.backward(self.optim_wrapper.scale_loss(loss))
        self.optim_wrapper._inner_count -= 1  # `backward` counts iterations, but this one is not over yet


def train_loaders(runner: Runner) -> list[tuple[Any, Mapping[str, Any]]]:
    """Data loaders of a training, of which joint training has several, with the config of each."""
    loader, cfg = runner.train_dataloader, runner.cfg.train_dataloader
    if isinstance(loader, JointDataLoader):
        return [(source, cfg[name]) for name, source in loader.loaders.items()]
    return [(loader, cfg)]


def _build_loader(runner: Runner, source: Mapping[str, Any] | DataLoader) -> DataLoader:
    if isinstance(source, DataLoader):
        return source
    diff_rank_seed = runner._randomness_cfg.get('diff_rank_seed', False)
    return runner.build_dataloader(source, seed=runner.seed, diff_rank_seed=diff_rank_seed)


def _sources(dataloader: Mapping[str, dict | DataLoader | None]) -> dict[str, dict | DataLoader]:
    """The sources that there are.

    Raises:
        ValueError: ``dataloader`` is not by source, or there is none.
    """
    example = 'train_dataloader=dict(coco=dict(...), pairs=dict(...))'
    if 'dataset' in dataloader:
        raise ValueError(
            f'JointTrainLoop: train_dataloader is a single data loader; name the sources, {example}, or use '
            'IterBasedTrainLoop'
        )
    sources = {name: source for name, source in dataloader.items() if source is not None}
    if not sources or not all(isinstance(source, (Mapping, DataLoader)) for source in sources.values()):
        raise ValueError(
            f'JointTrainLoop: train_dataloader has the keys {", ".join(dataloader)}; it must map the name of every '
            f'source to a data loader: {example}'
        )
    return sources


def _check_weights(weights: Mapping[str, float], sources: Mapping[str, Any]) -> None:
    unknown = sorted(set(weights) - set(sources))
    if unknown:
        raise ValueError(f'JointTrainLoop: weights has {", ".join(unknown)}; sources are {", ".join(sources)}')
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float('inf'):
            raise ValueError(f"JointTrainLoop: the weight of '{name}' is {weight!r}; it must be greater than 0")


def _check_wrapper(model: nn.Module, num_sources: int) -> None:
    """The last source alone seldom uses all parameters, and without the switch DDP waits for the others for ever."""
    if num_sources > 1 and is_model_wrapper(model) and not getattr(model, 'find_unused_parameters', True):
        raise ValueError(
            'JointTrainLoop: with several processes set find_unused_parameters=True in the config: no single source '
            'uses all parameters'
        )
