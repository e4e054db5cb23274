"""A model with its weights, and images after its expensive half."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from xdet import model_zoo
from xdet.compat.checkpoint import CheckpointError
from xdet.compat.distributions import check_optional_packages
from xdet.compat.fitting import load_weights
from xdet.compat.quiet import quiet_imports
from xdet.inference.inputs.images import ImageSource
from xdet.inference.names.known_words import WordCheck
from xdet.inference.outputs.provenance import Origin
from xdet.inference.outputs.results import TASK_FORMATS
from xdet.io.errors import cause
from xdet.io.reading import expand, is_address, shorten
from xdet.registry import MODELS, TASKS, TRANSFORMS
from xdet.structures import ImageFeatures, XDetDataSample
from xdet.structures.known_words import KEY as KNOWN_WORDS
from xdet.structures.views import Views

from .names.calibration import Calibration, load_beside
from .names.examples import use_examples
from .pipeline import build_pipeline, collate, inference_transforms, prepare

if TYPE_CHECKING:  # built through the registry; importing all of mmdet's models here would slow down every start
    from xdet.models import XDecoder
    from xdet.models.context import LatentPass


@dataclass(frozen=True)
class EncodedImage:
    """An image after the expensive half of the model; made by ``set_image``.

    Attributes:
        source (ImageSource): Where it came from.
        image (np.ndarray): BGR uint8 ``[H, W, 3]``.
        sample (XDetDataSample): Its meta information.
        features (ImageFeatures): Of a batch of one.
        latent_pass (LatentPass): What the decoder makes of them before any prompt; made by the first task that needs
            it, for those after it. Captions and answers add to it what takes as much memory as the features.
    """

    source: ImageSource
    image: np.ndarray
    sample: XDetDataSample
    features: ImageFeatures
    latent_pass: LatentPass


class LoadedModel:
    """Builds a model and gives it its weights, as :class:`~xdet.inference.inferencer.XDecoderInferencer` says."""

    def __init__(
        self,
        model: str | Path | Config | None = None,
        weights: str | Path | None = None,
        device: str | torch.device = 'auto',
        random_weights: bool = False,
        text_embeddings: str | Path | None = None,
        calibration: str | Path | None = None,
        precision: str | None = None,
    ) -> None:
        spec = model_zoo.resolve_model(model, weights, random_weights)
        if precision is not None:
            spec = replace(spec, cfg=copy.deepcopy(spec.cfg))
            spec.cfg.model.precision = precision
        self.device = model_zoo.resolve_device(device)
        for file in (spec.weights, text_embeddings):  # building takes seconds; a wrong path should not
            if file is not None and not is_address(str(file)) and not os.path.exists(expand(file)):
                what = 'weights' if file is spec.weights else 'text embeddings'
                raise CheckpointError(f"file of {what} '{shorten(str(file))}' does not exist")
        self.cfg = spec.cfg
        self.embedded = spec.embedded
        self.origin = Origin(spec.name, spec.weights, spec.knows, spec.cfg.model.get('precision', 'single'))
        self.calibration = self._calibration(calibration)
        self.model, self.pipelines = _build(spec)
        trained_on = load_weights(self.model, spec.weights) if spec.weights is not None else {}
        self.model.to(self.device).eval()
        if text_embeddings is not None:
            self.model.vocabulary.load(text_embeddings)
        known = trained_on.get(KNOWN_WORDS, spec.embedded.known_words if spec.embedded else None)
        self.word_check = None if known is None else WordCheck(known, self.model.text_encoder)
        if text_embeddings is not None:
            use_examples(self, text_embeddings)
        self.default_vocabulary = spec.vocabulary or trained_on.get('vocabulary')
        from xdet.visualization import XDetLocalVisualizer

        self.visualizer = XDetLocalVisualizer()

    def __repr__(self) -> str:
        weights = None if self.origin.weights is None else Path(self.origin.weights).name
        return (
            f'{type(self).__name__}(model={self.origin.model!r}, weights={weights!r}, device={str(self.device)!r}, '
            f'tasks={", ".join(self.task_names)})'
        )

    @property
    def task_names(self) -> tuple[str, ...]:
        """Tasks of this model that can be reported."""
        return tuple(name for name in self.model.task_names if name in TASK_FORMATS)

    @staticmethod
    def list_models(pattern: str = '*') -> list[str]:
        """Names of the shipped models, see :func:`xdet.model_zoo.list_models`."""
        return model_zoo.list_models(pattern)

    def encode_image(self, source: ImageSource, task: str | None = None, views: Views | None = None) -> EncodedImage:
        """An image after the expensive half, of a source that was opened already; nothing is remembered."""
        pixels = source.read()
        data = self.model.data_preprocessor(collate([prepare(self._pipeline(task), pixels, source.name, 0)]), False)
        with torch.no_grad():
            features = self.model.encode_views(data['inputs'][0][None], views)
        return EncodedImage(source, pixels, data['data_samples'][0], features, self.model.latent_pass(features))

    def _pipeline(self, task: str | None) -> Compose:
        return self.pipelines.get(task, self.pipelines[None])

    def _calibration(self, path: str | Path | None) -> Calibration | None:
        """Thresholds of presence that a user names, or that lie beside the weights.

        Raises:
            ValueError: The file belongs to other weights, or is damaged.
        """
        if path is None:
            return load_beside(self.origin.weights, lambda: self.origin.weights_sha256)
        calibration = Calibration.load(path)
        if calibration.weights_sha256 != self.origin.weights_sha256:
            raise ValueError(f'{path} belongs to other weights than {self.origin.weights}; run xdet calibrate again')
        return calibration


def _build(spec: model_zoo.ModelSpec) -> tuple[XDecoder, dict[str | None, Compose]]:
    """Model of a config, and its pipelines: the default under None, and those of tasks that have their own.

    Raises:
        ValueError: The config names unknown components, arguments, files or tasks.
    """
    with quiet_imports():
        for registry in (MODELS, TASKS, TRANSFORMS):
            registry.import_from_location()
    own = tuple(spec.cfg.get('task_pipelines', {}))
    check_optional_packages(dict(model=spec.cfg.model, transforms=inference_transforms(spec.cfg)))
    unknown = sorted(set(own) - set(TASK_FORMATS))
    if unknown:
        raise ValueError(f'{spec.name}: task_pipelines names {unknown}; accepted are {", ".join(TASK_FORMATS)}')
    try:
        with DefaultScope.overwrite_default_scope('xdet'):
            model = MODELS.build(copy.deepcopy(spec.cfg.model))
            return model, {task: build_pipeline(spec.cfg, task) for task in (None, *own)}
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(f'{spec.name} cannot be built: {cause(error)}') from error
