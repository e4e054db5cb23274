"""The model and the images that an analysis is about."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from xdet.benchmarks.fragments import PROTOCOLS, apply_benchmark
from xdet.cli.launch import add_cfg_options, read_run_config
from xdet.compat.fitting import load_weights
from xdet.compat.quiet import quiet_imports
from xdet.io.terminal import progress
from xdet.model_zoo import resolve_device, resolve_model
from xdet.registry import DATASETS, METRICS, MODELS, TASKS, TRANSFORMS
from xdet.structures import Vocabulary


def add_config_arguments(parser: ArgumentParser) -> None:
    """Arguments of every analysis: the config and changes to it."""
    parser.add_argument('config', help='path of a config, or the name of a shipped one such as xdecoder_focal-t')
    add_cfg_options(parser)
    parser.set_defaults(work_dir=None, allow_missing=[], allow_unexpected=[])


def add_choice_arguments(parser: ArgumentParser, number: int | None = None) -> None:
    """Arguments that choose images of a data set."""
    default = 'all' if number is None else number
    parser.add_argument('--num-images', type=int, default=number, metavar='N', help=f'at most so many ({default})')
    parser.add_argument('--shuffle', type=int, metavar='SEED', help='take them at random instead of the first ones')


def add_model_arguments(parser: ArgumentParser) -> None:
    """Arguments of analyses of predictions: config, weights, test data."""
    add_config_arguments(parser)
    parser.add_argument(
        'checkpoint', nargs='?', help='weights: an official file, ours, or a URL; not needed for the embedded models'
    )
    parser.add_argument('--device', default='auto', help="'auto', 'cpu', 'cuda', ...")
    parser.add_argument(
        '--benchmark',
        metavar='NAME[@FOLDER]',
        help='test on this instead of what the config says',
    )
    parser.add_argument('--protocol', choices=PROTOCOLS, default=PROTOCOLS[0], help='of the benchmark')


def read_config(args: Namespace) -> Config:
    """The config with the command line's changes, and the benchmark's if there is one.

    Raises:
        FileNotFoundError, ValueError: See :func:`~xdet.cli.launch.read_run_config` and
            :func:`~xdet.benchmarks.fragments.apply_benchmark`.
    """
    cfg = read_run_config(args)
    if getattr(args, 'benchmark', None):
        cfg = apply_benchmark(cfg, args.benchmark, args.protocol)
    import_components()
    return cfg


def import_components() -> None:
    """Make everything that configs name known, without the libraries' messages."""
    init_default_scope('xdet')
    with quiet_imports():
        for registry in (MODELS, TASKS, DATASETS, TRANSFORMS, METRICS):
            registry.import_from_location()


def build_model(cfg: Config, args: Namespace) -> nn.Module:
    """The model of ``cfg`` with the weights of ``args.checkpoint``, ready to predict.

    Raises:
        CheckpointError: The weights do not fit.
        ValueError: There are none, or the device is not available.
    """
    weights = resolve_model(args.config, args.checkpoint, random_weights=False).weights
    model = MODELS.build(cfg.model)
    load_weights(model, weights)
    return model.to(resolve_device(args.device)).eval()


def build_dataset(dataset: Mapping[str, Any], number: int | None = None, seed: int | None = None) -> Subset:
    """A data set, or some images of it.

    Args:
        dataset (Mapping): Config of a data set with positions (no stream).
        number (int, optional): At most so many images.
        seed (int, optional): Of a random order; None keeps that of the data set.

    Raises:
        ValueError: ``number`` is not positive.
    """
    if number is not None and number < 1:
        raise ValueError(f'--num-images is {number}; it must be at least 1')
    built = DATASETS.build(dataset)
    if hasattr(built, 'full_init'):
        built.full_init()
    order = list(range(len(built)))
    if seed is not None:
        order = torch.randperm(len(built), generator=torch.Generator().manual_seed(seed)).tolist()
    return Subset(built, order[:number])


def loader_settings(cfg: Config) -> Mapping[str, Any]:
    """Config of the test data loader.

    Raises:
        ValueError: There is none.
    """
    loader = cfg.get('test_dataloader')
    if not loader:
        raise ValueError('the config has no test_dataloader; name a --benchmark, or take a config with test data')
    return loader


@dataclass
class Subject:
    """A model and the test images it is to be judged by.

    Attributes:
        cfg (Config): Its ``test_evaluator`` says how.
        model (nn.Module): In evaluation mode, on its device.
        images (Subset): Chosen images.
    """

    cfg: Config
    model: nn.Module
    images: Subset

    @classmethod
    def of(cls, args: Namespace) -> Subject:
        """What :func:`add_model_arguments` and :func:`add_choice_arguments` ask for."""
        cfg = read_config(args)
        images = build_dataset(loader_settings(cfg).dataset, args.num_images, args.shuffle)
        return cls(cfg, build_model(cfg, args), images)

    @property
    def meta(self) -> dict[str, Any]:
        """Meta information of the data set."""
        return getattr(self.images.dataset, 'metainfo', {})

    @property
    def vocabulary(self) -> Vocabulary:
        """Class names of the data set.

        Raises:
            ValueError: It has none.
        """
        vocabulary: Vocabulary | None = self.meta.get('vocabulary')
        if vocabulary is None:
            raise ValueError(f'{type(self.images.dataset).__name__} has no class list, so there are no names to judge')
        return vocabulary

    def evaluator(self) -> Evaluator:
        """Fresh metrics of the config.

        Raises:
            ValueError: It has none, or something else.
        """
        metrics = self.cfg.get('test_evaluator') or []
        metrics = [metrics] if isinstance(metrics, Mapping) else list(metrics)
        if not metrics or not all(isinstance(metric, Mapping) for metric in metrics):
            raise ValueError(f"the config's test_evaluator is {metrics}; it must be a metric or a list of metrics")
        evaluator = Evaluator(metrics)
        evaluator.dataset_meta = self.meta
        return evaluator

    def predictions(self, images: Dataset | None = None, what: str = 'Predicting') -> Iterator[tuple[Tensor, Any]]:
        """Every chosen image as the network gets it, ``[3, h, w]``, and its sample with predictions.

        Args:
            images (Dataset, optional): Other images than :attr:`images`.
            what (str): Title of the progress bar.
        """
        for batch in self.batches(images, what):
            yield from zip(batch['inputs'], self.model.test_step(batch), strict=True)

    def batches(self, images: Dataset | None = None, what: str = 'Looking') -> Iterator[Any]:
        """The chosen images as the data loader gives them; arguments as of :meth:`predictions`."""
        images = self.images if images is None else images
        from mmengine.runner import Runner  # slow to import

        loader = Runner.build_dataloader({**loader_settings(self.cfg), 'dataset': images}, seed=0)
        yield from progress(loader, f'{what} ({len(images)} images)', disable=not _on_terminal())


def evaluate_each(evaluator: Evaluator, number: int) -> tuple[dict[str, float], list[str]]:
    """Values of all metrics that can be computed, and why others cannot (a search among 100 needs 100 images).

    Args:
        evaluator (Evaluator): That has processed the images.
        number (int): How many these are.

    Raises:
        ValueError: No metric can be computed.
    """
    values: dict[str, float] = {}
    problems = []
    for metric in evaluator.metrics:
        try:
            values.update({key: float(value) for key, value in metric.evaluate(number).items()})
        except ValueError as error:
            problems.append(f'{type(metric).__name__}: {error}')
    if not values:
        raise ValueError(f'no metric can be computed; {"; ".join(problems)}')
    return values, problems


def _on_terminal() -> bool:
    return sys.stderr.isatty() or sys.stdout.isatty()
