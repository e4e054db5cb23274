"""The model, top to bottom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from mmengine.model import BaseModel, ModuleDict
from torch import Tensor

from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, ImageFeatures, QueryGroup, TextPrompts, XDetDataSample
from xdet.structures.views import PLAIN, Views, views_of

from .context import LatentPass, TaskContext
from .losses.distributed import check_same_kinds
from .numerics.freezing import keep_frozen_in_eval
from .numerics.precision import named_precision, reduced
from .text import TextCache
from .views import encode_views


@MODELS.register_module()
class XDecoder(BaseModel):
    """X-Decoder (arXiv 2212.11270): one image encoder, one text encoder, one decoder, any number of tasks.

    Args:
        backbone (dict): Config of a backbone that returns maps of strides 4, 8, 16 and 32.
        pixel_decoder (dict): Config of a pixel decoder.
        decoder (dict): Config of the transformer decoder.
        text_encoder (dict): Config of the text encoder.
        tasks (dict[str, dict]): Task adapters by name. The name is part of the parameter names of tasks that own some.
        data_preprocessor (dict, optional): Config of the data preprocessor.
        channels_last (bool): Keep the images and the convolutions of the image encoder in torch's channels-last memory
            format. Same values up to rounding and same checkpoints; whether it is faster depends on the hardware.
        views (str | Sequence): How predictions look at an image that is not asked for otherwise, such as ``'1, flip'``
            (:func:`~xdet.structures.views.views_of`).
        precision (str): ``'bfloat16'`` predicts with products and convolutions in half precision, which is several
            times as fast where the hardware has instructions for it, and changes a few pixels. ``'single'``: in the
            precision of the weights. Training does not depend on it.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        pixel_decoder: dict,
        decoder: dict,
        text_encoder: dict,
        tasks: dict[str, dict],
        data_preprocessor: dict | None = None,
        channels_last: bool = False,
        views: Any = PLAIN,
        precision: str = 'single',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='XDecoderDataPreprocessor')), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.pixel_decoder = MODELS.build(pixel_decoder)
        self.decoder = MODELS.build(decoder)
        self.text_encoder = MODELS.build(text_encoder)
        self.tasks = ModuleDict({name: TASKS.build(task) for name, task in tasks.items()})
        self.texts = TextCache(self.text_encoder)
        self.views = views_of(views)
        self.channels_last = channels_last
        self.precision = named_precision('XDecoder: precision', precision)
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)
            self.pixel_decoder.to(memory_format=torch.channels_last)

    @property
    def vocabulary(self) -> TextCache:
        """Embeds class names."""
        return self.texts

    @property
    def task_names(self) -> tuple[str, ...]:
        """What can be asked for, and trained."""
        return tuple(name for task in self.tasks.values() for name in task.names)

    def train(self, mode: bool = True) -> XDecoder:
        """Switch mode; frozen parts stay in evaluation mode.

        Text embeddings remembered so far may stem from other weights and are forgotten, unless the model was and stays
        in evaluation mode: several tests in a row share them.
        """
        if mode or self.training:
            self.texts.clear()
        super().train(mode)
        if mode:
            keep_frozen_in_eval(self)
        return self

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor],
        data_samples: Sequence[XDetDataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[XDetDataSample] | DecoderOutput:
        """MMEngine's entry point.

        Args:
            inputs (Tensor | Sequence[Tensor]): Normalised, padded images ``[B, 3, H, W]``; for prediction also a list
                of ``[3, H, W]``.
            data_samples (Sequence[XDetDataSample], optional): One per image.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'`` (raw decoder output of the latent queries).
        """
        samples = cast(Sequence[XDetDataSample], data_samples)  # may be left out in mode 'tensor' only
        images = cast(Tensor, inputs)  # may be a list in mode 'predict' only
        if mode == 'loss':
            return self.loss(images, samples)
        if mode == 'predict':
            return self.predict(inputs, samples)
        if mode == 'tensor':
            features = self.encode(images)
            return self.decoder(features, self.decoder.latent_queries(len(inputs)))
        raise ValueError(f"mode is {mode!r}; accepted are 'loss', 'predict' and 'tensor'")

    def encode(self, inputs: Tensor) -> ImageFeatures:
        """Encode images of equal size ``[B, 3, H, W]``; everything else starts from the result."""
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with reduced(self.precision, inputs.device):
            maps = tuple(self.backbone(inputs))
            mask_features, memory = self.pixel_decoder(maps)
        return ImageFeatures(backbone=maps, mask_features=mask_features, memory=tuple(memory), image=inputs)

    def encode_views(self, inputs: Tensor, views: Views | None = None) -> ImageFeatures:
        """As :meth:`encode`, for predictions: the mean of several views, None being those of the model."""
        return encode_views(self.encode, inputs, self.views if views is None else views)

    def loss(self, inputs: Tensor, data_samples: Sequence[XDetDataSample]) -> dict[str, Tensor]:
        """Losses of all tasks for which the samples have targets, from one encoding and one decoding.

        Raises:
            ValueError: No task finds a target, or processes have different kinds of targets.
        """
        kinds = {
            name: sorted({kind for sample in data_samples if task.learns(sample) for kind in task.kinds(sample)})
            for name, task in self.tasks.items()
        }
        # Before anything collective. The end of the step before has waited for the device anyway.
        check_same_kinds(kinds, data_samples, inputs.device)
        training = [task for name, task in self.tasks.items() if kinds[name]]
        if not training:
            name = data_samples[0].metainfo.get('img_path', 'the first image')
            raise ValueError(f'no task of this model ({", ".join(self.tasks)}) finds targets in the batch of {name}')
        context = self.context(self.latent_pass(self.encode(inputs)), data_samples)
        contexts = [context.of_learners(task.learns) for task in training]
        texts = [text for task, own in zip(training, contexts, strict=True) for text in task.training_texts(own)]
        if texts:
            context.encode(texts)  # of all tasks in one pass; where they are needed they are known
        groups: list[QueryGroup] = list(context.latents)
        for task, own in zip(training, contexts, strict=True):
            groups += task.queries(own)
        outputs = self.decoder(context.features, groups)
        losses: dict[str, Tensor] = {}
        for task, own in zip(training, contexts, strict=True):
            losses.update(task.loss(own, outputs))
        return losses

    @torch.no_grad()
    def predict(
        self, inputs: Tensor | Sequence[Tensor], data_samples: Sequence[XDetDataSample]
    ) -> list[XDetDataSample]:
        """Write predictions into the samples; images of equal padded size run as one batch.

        Tasks that join sizes come last, with all images together.
        """
        by_size = defaultdict(list)
        for index, (image, sample) in enumerate(zip(inputs, data_samples, strict=True)):
            by_size[tuple(image.shape), sample.prompts.views].append(index)
        joint = {name for name, task in self.tasks.items() if task.joins_sizes and len(by_size) > 1}
        contexts: dict[str, list[TaskContext]] = defaultdict(list)
        for (_, views), indices in by_size.items():
            features = self.encode_views(torch.stack([inputs[index] for index in indices]), views)
            for names, context in self._asked(self.latent_pass(features), [data_samples[index] for index in indices]):
                self._predict(context, [name for name in names if name not in joint])
                for name in joint.intersection(names):
                    contexts[name].append(context)
        for name, own in contexts.items():
            with reduced(self.precision, own[0].features.mask_features.device):
                self.tasks[name].predict_joined(own)
        return list(data_samples)

    def latent_pass(self, features: ImageFeatures) -> LatentPass:
        """To keep for several calls of :meth:`predict_features` with the same images; nothing is computed yet."""
        return LatentPass(self.decoder, features)

    @torch.no_grad()
    def predict_features(
        self,
        features: ImageFeatures,
        data_samples: Sequence[XDetDataSample],
        latent_pass: LatentPass | None = None,
        prompts: Sequence[TextPrompts] | None = None,
    ) -> Sequence[XDetDataSample]:
        """The cheap half of :meth:`predict`: run what is asked of the samples on encoded images.

        Samples that ask for the same tasks are decoded together; tasks that build on predictions of others run last.

        Args:
            features (ImageFeatures): Encoded images.
            data_samples (Sequence[XDetDataSample]): One per image.
            latent_pass (LatentPass, optional): That of earlier calls for these images, see :meth:`latent_pass`.
            prompts (Sequence[TextPrompts], optional): What to ask of each image from now on; None: what the samples
                say (:attr:`XDetDataSample.prompts`).

        Raises:
            RegionError: Regions do not fit their image.
            ValueError: A task is asked for that the model does not have.
        """
        for sample, asked in zip(data_samples, prompts, strict=True) if prompts is not None else ():
            asked.apply(sample, str(sample.metainfo.get('img_path', 'image')))
        for names, context in self._asked(latent_pass or self.latent_pass(features), data_samples):
            self._predict(context, names)
        return data_samples

    def _asked(
        self, latent_pass: LatentPass, data_samples: Sequence[XDetDataSample]
    ) -> Iterator[tuple[tuple[str, ...], TaskContext]]:
        """Samples that ask the same of some tasks, whose names come first."""
        for sample in data_samples:
            unknown = set(sample.prompts.tasks or ()) - set(self.task_names)
            if unknown:
                raise ValueError(f'unknown task {sorted(unknown)}; this model has {", ".join(self.task_names)}')
        by_tasks = defaultdict(list)
        for index, sample in enumerate(data_samples):
            by_tasks[tuple(name for name, task in self.tasks.items() if task.requested(sample.prompts))].append(index)
        for names, indices in by_tasks.items():
            subset = latent_pass if len(indices) == len(data_samples) else latent_pass.select(indices)
            yield names, self.context(subset, [data_samples[index] for index in indices])

    def _predict(self, context: TaskContext, names: Sequence[str]) -> None:
        """Tasks that build on predictions of others run last."""
        with reduced(self.precision, context.features.mask_features.device):
            for name in sorted(names, key=lambda name: self.tasks[name].reads_predictions):
                self.tasks[name].predict(context)

    def context(self, latent_pass: LatentPass, data_samples: Sequence[XDetDataSample]) -> TaskContext:
        """What the tasks look at, for whoever reads them without predicting."""
        return TaskContext(
            latent_pass,
            data_samples,
            self.text_encoder,
            self.texts,
            colours=getattr(self.data_preprocessor, 'colours', None),
            pixel_names=next(filter(None, (getattr(task, 'pixel_names', None) for task in self.tasks.values())), None),
        )
