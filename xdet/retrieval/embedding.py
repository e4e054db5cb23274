"""Unit vectors of images and texts, and what they depend on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.inputs.images import ImageSource
from xdet.inference.pipeline import collate, inference_transforms, is_out_of_memory, prepare
from xdet.io.errors import cause
from xdet.io.schema import shown
from xdet.structures import TextPrompts

from .store import Signature

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer
    from xdet.tasks import RetrievalTask

_PARTS = ('backbone', 'pixel_decoder', 'decoder', 'text_encoder')
_READERS = 8  # images decoded at a time
_TEXTS_PER_PASS = 256


class Embedder:
    """Embeds images and texts with a model that has a retrieval task.

    Args:
        inferencer (XDecoderInferencer): Holds the model.
        pipeline (Sequence[dict], optional): Transforms from an image to the network's input. None is the
            inferencer's for retrieval: officially, any image is squashed to 224 x 224 pixels.

    Raises:
        ValueError: The model has no retrieval task, or the pipeline is no list of known transforms.
    """

    def __init__(self, inferencer: XDecoderInferencer, pipeline: Sequence[dict] | None = None) -> None:
        self.inferencer = inferencer
        self.model = inferencer.model
        tasks = [(name, task) for name, task in self.model.tasks.items() if 'retrieval' in task.names]
        if not tasks:
            raise ValueError(f'this model has no retrieval task; its tasks are {", ".join(self.model.task_names)}')
        self._task_name, self.task = tasks[0]
        own = inferencer.cfg.get('task_pipelines', {}).get('retrieval')
        try:
            self.transforms = _plain(pipeline or own or inference_transforms(inferencer.cfg))
            with DefaultScope.overwrite_default_scope('xdet'):
                self._pipeline = Compose(self.transforms)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'pipeline {shown(pipeline)} cannot be built: {cause(error)}') from error

    @property
    def decoder_weight(self) -> float:
        """Weight of the decoder's cosine in the model's configuration; the backbone's has the rest."""
        task: RetrievalTask = self.task
        return task.decoder_weight

    def signature(self, kind: str) -> Signature:
        """What embeddings of ``'images'`` or ``'texts'`` depend on; hashing the weights takes about 1 s per 0.7 GB."""
        from xdet.models.text.embedding_file import weights_fingerprint

        parts = (*(f'{part}.' for part in _PARTS), f'tasks.{self._task_name}.')
        weights = {key: value for key, value in self.model.state_dict().items() if key.startswith(parts)}
        weights.pop('text_encoder.logit_scale', None)  # cosines do without
        config = {key: self.inferencer.cfg.model.get(key) for key in (*_PARTS, 'data_preprocessor')}
        if 'precision' in self.inferencer.cfg.model:
            config['precision'] = self.inferencer.cfg.model.precision
        fingerprint = weights_fingerprint(weights, json.dumps(config, sort_keys=True, default=str))
        width = int(self.model.text_encoder.text_projection.shape[1])
        if kind == 'texts':
            return Signature(kind, (width,), fingerprint, [])
        return Signature(kind, (2, width), fingerprint, self.transforms)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors float32 ``[n, C]``."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # little padding in every pass
        result = np.zeros((len(texts), self.model.text_encoder.text_projection.shape[1]), np.float32)
        with torch.no_grad():
            for start in range(0, len(order), _TEXTS_PER_PASS):
                rows = order[start : start + _TEXTS_PER_PASS]
                pooled = self.model.text_encoder([texts[row] for row in rows]).pooled
                result[rows] = F.normalize(pooled.float(), dim=-1).cpu().numpy()
        return result

    def images(self, sources: Sequence[ImageSource]) -> tuple[np.ndarray, dict[int, ImageReadError]]:
        """Embed images in one forward pass, or in several where memory is short.

        Returns:
            tuple[np.ndarray, dict[int, ImageReadError]]: Unit vectors float32 ``[n, 2, C]``, decoder and backbone, of
            the readable ones in order; and why the others are not, by position.
        """
        failed: dict[int, ImageReadError] = {}
        prepared: list[dict[str, Any]] = []
        with ThreadPoolExecutor(_READERS) as pool:
            pictures = list(pool.map(_read, sources))
        for index, (source, picture) in enumerate(zip(sources, pictures, strict=True)):
            try:
                if isinstance(picture, ImageReadError):
                    raise picture
                prepared.append(prepare(self._pipeline, picture, source.name, index))
            except ImageReadError as error:
                failed[index] = error
        for item in prepared:
            item['data_samples'].prompts = TextPrompts(tasks=('retrieval',))
        return self._forward(prepared), failed

    def _forward(self, prepared: list[dict[str, Any]]) -> np.ndarray:
        if not prepared:
            return np.zeros((0, 2, self.model.text_encoder.text_projection.shape[1]), np.float32)
        try:
            samples = self.model.test_step(collate(prepared))
        except (RuntimeError, MemoryError) as error:
            if len(prepared) == 1 or not is_out_of_memory(error):
                raise
        else:
            return np.stack([sample.pred_embedding.float().cpu().numpy() for sample in samples])
        middle = len(prepared) // 2
        return np.concatenate([self._forward(prepared[:middle]), self._forward(prepared[middle:])])


def _plain(transforms: Sequence[dict]) -> list[dict]:
    """Transforms as they come back from a JSON file, so that they can be compared with it."""
    return json.loads(json.dumps([dict(step) for step in transforms], default=str))


def _read(source: ImageSource) -> np.ndarray | ImageReadError:
    try:
        return source.read()
    except ImageReadError as error:
        return error
