"""From pictures and words to segments, in one object."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from rich.console import Console
from rich.progress import track

from xdet.compat.checkpoint import load_weights
from xdet.compat.quiet import quiet_imports
from xdet.datasets.image_io import ImageReadError
from xdet.engine.errors import cause
from xdet.registry import MODELS, TASKS, TRANSFORMS
from xdet.structures import ImageFeatures, Vocabulary, XDetDataSample
from xdet.visualization import XDetLocalVisualizer

from . import model_zoo
from .images import ImageInput, ImageSource, expand_images
from .pipeline import build_pipeline, collate, is_out_of_memory, prepare
from .prompts import NamedVocabulary, resolve_vocabularies
from .reporting import Report
from .results import TASK_FORMATS
from .writer import ResultWriter

if TYPE_CHECKING:  # built through the registry; importing all of mmdet's models here would slow down every start
    from xdet.models import XDecoder

Prompts = str | Sequence


@dataclass(frozen=True)
class EncodedImage:
    """An image after the expensive half of the model; made by :meth:`XDecoderInferencer.set_image`.

    Attributes:
        source (ImageSource): Where it came from.
        image (np.ndarray): BGR uint8 ``[H, W, 3]``.
        sample (XDetDataSample): Its meta information.
        features (ImageFeatures): Of a batch of one.
    """

    source: ImageSource
    image: np.ndarray
    sample: XDetDataSample
    features: ImageFeatures


class XDecoderInferencer:
    """Segments pictures with any class names.

    Modelled on mmdet's ``DetInferencer`` (same arguments and return keys), but not derived from MMEngine's
    ``BaseInferencer``: that one stops at the first unreadable image and keeps every image, sample and overlay of a
    run in memory until its end. This one finishes image by image.

    Args:
        model (str | Path | Config, optional): Name of a shipped config (``xdecoder_focal-t``,
            ``xdet::xdecoder/xdecoder_focal-t``), path of a config file, or a config. None is the small model that comes
            with the package, which knows generated scenes only. Config files are Python code; use trusted ones.
        weights (str | Path, optional): Checkpoint file or URL, official or ours. None is accepted for the model that
            comes with the package, and with ``random_weights``.
        device (str | torch.device): ``'auto'`` takes CUDA, else MPS, else the CPU.
        random_weights (bool): Build the model untrained.

    Raises:
        FileNotFoundError: Unknown model or missing weights.
        ValueError: Contradicting or missing arguments.

    Example:
        >>> inferencer = XDecoderInferencer('xdecoder_focal-t', 'xdecoder_focalt_last.pt')
        >>> result = inferencer('street.jpg', task='panoptic', things='car . person', stuff='road . sky')
        >>> [segment['name'] for segment in result['predictions'][0]['segments']]
    """

    def __init__(
        self,
        model: str | Path | Config | None = None,
        weights: str | Path | None = None,
        device: str | torch.device = 'auto',
        random_weights: bool = False,
    ) -> None:
        spec = model_zoo.resolve_model(model, weights, random_weights)
        self.device = model_zoo.resolve_device(device)
        self.cfg = spec.cfg
        self.model, self.pipeline = _build(spec)
        trained_on = load_weights(self.model, spec.weights) if spec.weights is not None else {}
        self.model.to(self.device).eval()
        self.default_vocabulary = model_zoo.embedded_vocabulary() if spec.embedded else trained_on.get('vocabulary')
        self.visualizer = XDetLocalVisualizer()
        self._current: EncodedImage | None = None

    @property
    def task_names(self) -> tuple[str, ...]:
        """Tasks of this model that can be reported."""
        return tuple(name for name in self.model.task_names if name in TASK_FORMATS)

    @staticmethod
    def list_models(pattern: str = '*') -> list[str]:
        """Names of the shipped models, see :func:`xdet.apis.model_zoo.list_models`."""
        return model_zoo.list_models(pattern)

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput],
        task: str = 'panoptic',
        things: Prompts | None = None,
        stuff: Prompts | None = None,
        classes: Prompts | None = None,
        vocabulary: NamedVocabulary | Sequence[NamedVocabulary] | None = None,
        batch_size: int = 1,
        out_dir: str | Path = '',
        show_progress: bool = True,
        **report: Any,
    ) -> dict[str, list]:
        """Run one task on one or many images.

        Args:
            images (ImageInput | Sequence[ImageInput]): Path, folder, URL, BGR uint8 array ``[H, W, 3]`` (or grey),
                Pillow image, or a list of these.
            task (str): One of :attr:`task_names`.
            things (str | Sequence, optional): Countable classes: ``'dog . cat'``, a list, or one list per image.
            stuff (str | Sequence, optional): Uncountable classes, likewise.
            classes (str | Sequence, optional): Classes for users who make no difference, likewise.
            vocabulary (str | Vocabulary | Sequence, optional): Name of a known class list such as
                ``'coco_panoptic'``, a vocabulary, or one of these per image.
            batch_size (int): Images per forward pass; results do not depend on it.
            out_dir (str | Path): Folder for ``preds/`` and ``vis/``; empty writes nothing.
            show_progress (bool): Show a progress bar for more than one image.
            **report: ``pred_score_thr=0.3`` (instances below are neither drawn nor printed), ``return_vis=False``,
                ``return_datasamples=False``, ``no_save_vis=False``, ``no_save_pred=False``, ``print_result=False``.

        Returns:
            dict[str, list]: ``predictions``: one JSON-ready dict per image (or sample, with ``return_datasamples``);
            ``visualization``: RGB overlays when ``return_vis``; ``failed``: dicts of ``index``, ``image`` and
            ``error`` for images of a collection that gave no result.

        Raises:
            ImageReadError: The only image cannot be read. In a collection it is listed in ``failed`` instead.
            OutputError: Results cannot be written.
            ValueError: Unknown task, unusable class names or options.
        """
        sources, is_collection = expand_images(images)
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}; accepted are whole numbers from 1')
        vocabularies = self._vocabularies(len(sources), things, stuff, classes, vocabulary)
        _check_report(report)
        result = self._report(task, [source.name for source in sources], out_dir, **report)
        indices = range(0, len(sources), batch_size)
        progress = track(
            indices,
            description='Inference',
            console=Console(stderr=True),
            disable=not show_progress or len(sources) < 2,
        )
        for start in progress:
            batch = list(range(start, min(start + batch_size, len(sources))))
            for index, image, sample in self._run(batch, sources, vocabularies, result, task, is_collection):
                result.add(index, sources[index], image, sample)
        return result.result()

    def set_image(self, image: ImageInput) -> EncodedImage:
        """Encode one image, so that many prompts on it are cheap.

        Args:
            image (ImageInput): Path, URL, array or Pillow image.

        Returns:
            EncodedImage: To keep for :meth:`predict` when several images are in use; the latest is remembered.

        Raises:
            ImageReadError: The image cannot be read.
        """
        sources, _ = expand_images(image)
        if len(sources) != 1:
            raise ValueError(f'set_image takes one image, not {len(sources)}')
        pixels = sources[0].read()
        data = self.model.data_preprocessor(collate([prepare(self.pipeline, pixels, sources[0].name, 0)]), False)
        with torch.no_grad():
            features = self.model.encode(data['inputs'][0][None])
        self._current = EncodedImage(sources[0], pixels, data['data_samples'][0], features)
        return self._current

    def predict(
        self,
        task: str = 'panoptic',
        things: Prompts | None = None,
        stuff: Prompts | None = None,
        classes: Prompts | None = None,
        vocabulary: NamedVocabulary | None = None,
        image: EncodedImage | None = None,
        out_dir: str | Path = '',
        **report: Any,
    ) -> dict[str, list]:
        """Run one task on an encoded image; arguments and result as in :meth:`__call__`.

        Args:
            task (str): One of :attr:`task_names`.
            things (str | Sequence, optional): Countable classes.
            stuff (str | Sequence, optional): Uncountable classes.
            classes (str | Sequence, optional): Classes for users who make no difference.
            vocabulary (str | Vocabulary, optional): A vocabulary or the name of a known one.
            image (EncodedImage, optional): None is the image of the latest :meth:`set_image`.
            out_dir (str | Path): Folder for results.
            **report: See :meth:`__call__`.

        Raises:
            ValueError: No image was set.
        """
        image = image or self._current
        if image is None:
            raise ValueError('no image is set; call set_image(image) first')
        names = self._vocabularies(1, things, stuff, classes, vocabulary)
        _check_report(report)
        result = self._report(task, [image.source.name], out_dir, **report)
        sample = image.sample.new()
        sample.set_metainfo(dict(vocabulary=names[0], tasks=(task,)))
        self.model.predict_features(image.features, [sample])
        result.add(0, image.source, image.image, sample)
        return result.result()

    def _run(
        self,
        batch: list[int],
        sources: list[ImageSource],
        vocabularies: list[Vocabulary],
        result: Report,
        task: str,
        is_collection: bool,
    ) -> Iterator[tuple[int, np.ndarray, XDetDataSample]]:
        """Read and segment a batch; images that cannot be read go to the list of failures."""
        images: dict[int, np.ndarray] = {}
        prepared: dict[int, dict] = {}
        for index in batch:
            try:
                images[index] = sources[index].read()
                prepared[index] = prepare(self.pipeline, images[index], sources[index].name, index)
            except ImageReadError as error:
                if not is_collection:
                    raise
                result.fail(index, sources[index], error)
                continue
            prepared[index]['data_samples'].set_metainfo(dict(vocabulary=vocabularies[index], tasks=(task,)))
        for index, sample in self._segment(prepared, sources, result, is_collection):
            yield index, images[index], sample

    def _segment(
        self, prepared: dict[int, dict], sources: list[ImageSource], result: Report, is_collection: bool
    ) -> list[tuple[int, XDetDataSample]]:
        """One forward pass; a batch that does not fit into memory is tried again image by image."""
        if not prepared:
            return []
        try:
            samples = self.model.test_step(collate(list(prepared.values())))
            return list(zip(prepared, samples, strict=True))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if len(prepared) > 1:
            singles = ({index: item} for index, item in prepared.items())
            return [pair for single in singles for pair in self._segment(single, sources, result, is_collection)]
        ((index, item),) = prepared.items()
        height, width = item['inputs'].shape[-2:]
        failure = ImageReadError(
            sources[index].name,
            f'needs more memory than {self.device} has free at a network size of {height}x{width} pixels; '
            'use a smaller image or fewer class names',
        )
        if not is_collection:
            raise failure
        result.fail(index, sources[index], failure)
        return []

    def _vocabularies(self, count: int, things, stuff, classes, vocabulary) -> list[Vocabulary]:
        return resolve_vocabularies(count, things, stuff, classes, vocabulary, self.default_vocabulary)

    def _report(
        self,
        task: str,
        names: list[str],
        out_dir: str | Path,
        pred_score_thr: float = 0.3,
        return_vis: bool = False,
        return_datasamples: bool = False,
        no_save_vis: bool = False,
        no_save_pred: bool = False,
        print_result: bool = False,
    ) -> Report:
        if task not in self.task_names:
            raise ValueError(f"unknown task '{task}'; this model has {', '.join(self.task_names)}")
        saves = str(out_dir) != '' and not (no_save_vis and no_save_pred)
        return Report(
            task=task,
            visualizer=self.visualizer,
            writer=ResultWriter(out_dir, names) if saves else None,
            pred_score_thr=pred_score_thr,
            return_vis=return_vis,
            return_datasamples=return_datasamples,
            save_vis=not no_save_vis,
            save_pred=not no_save_pred,
            print_result=print_result,
        )


_REPORT_OPTIONS = (
    'pred_score_thr',
    'return_vis',
    'return_datasamples',
    'no_save_vis',
    'no_save_pred',
    'print_result',
)


def _check_report(options: dict[str, Any]) -> None:
    """Refuse misspelt or impossible options before any work is done.

    Raises:
        TypeError: An option is unknown.
        ValueError: The score threshold is not a number from 0 to 1.
    """
    unknown = sorted(set(options) - set(_REPORT_OPTIONS))
    if unknown:
        raise TypeError(
            f'unknown argument {", ".join(unknown)}; class names go into things, stuff or classes, and accepted '
            f'options are {", ".join(_REPORT_OPTIONS)}'
        )
    threshold = options.get('pred_score_thr', 0.0)
    if not 0 <= threshold <= 1:
        raise ValueError(f'pred_score_thr is {threshold}; accepted are numbers from 0 to 1')


def _build(spec: model_zoo.ModelSpec) -> tuple[XDecoder, Compose]:
    """Model and pipeline of a config.

    Raises:
        ValueError: The config names unknown components or arguments.
    """
    with quiet_imports():
        for registry in (MODELS, TASKS, TRANSFORMS):
            registry.import_from_location()
    try:
        with DefaultScope.overwrite_default_scope('xdet'):
            return MODELS.build(copy.deepcopy(spec.cfg.model)), build_pipeline(spec.cfg)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{spec.name} cannot be built: {cause(error)}') from error
