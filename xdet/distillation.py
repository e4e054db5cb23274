"""Students: a frozen teacher beside a model while it is trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from xdet import model_zoo
from xdet.compat.fitting import load_weights
from xdet.io.errors import cause
from xdet.models.context import TaskContext
from xdet.models.decoder import OBJECT
from xdet.models.losses import SegmentTargets, TaughtSegments
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, XDetDataSample
from xdet.tasks import SegmentationTask, TaskAdapter
from xdet.tasks.base import image_names, input_size
from xdet.tasks.segmentation import layer_class_logits, vocabulary_of

if TYPE_CHECKING:
    from xdet.models import XDecoder


@TASKS.register_module()
class DistillationTask(TaskAdapter):
    """Trains with a teacher: a model of xdet that knows the classes already, and stays as it is.

    It adds losses to those of the other tasks and predicts nothing. The teacher sees the same images, in its own
    normalisation, and the same class names. Its class logits are those that it reports by, with the say of pixels and
    of a CLIP where it has them; the student's are those of its decoder.

    The teacher is no part of the model: not of its checkpoints, optimizer or gradient exchange. It is loaded by the
    first training step, so who uses the student needs no file of it.

    Args:
        teacher (str): Whatever :func:`xdet.model_zoo.resolve_model` takes: ``'scenes'`` and ``'photos'``, the name of a
            shipped config, the path of a config, or a folder of ``save_pretrained``.
        loss (dict): Config of :class:`~xdet.models.losses.DistillationLoss`.
        weights (str, optional): Weights of the teacher, where its name does not bring them.
        name_loss (dict, optional): Config of :class:`~xdet.models.losses.RelationalDistillationLoss`, by which the
            student's text tower learns at once which class names the teacher finds alike.
    """

    targets = 'segments'

    def __init__(self, teacher: str, loss: dict, weights: str | None = None, name_loss: dict | None = None) -> None:
        super().__init__()
        self.teacher = teacher
        self.weights = weights
        self.criterion = MODELS.build(loss)
        self.name_criterion = MODELS.build(name_loss) if name_loss is not None else None
        self._loaded: tuple[XDecoder, SegmentationTask] | None = None  # in a tuple, so that it is not registered

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has ``gt_segments`` with masks."""
        return 'gt_segments' in sample and 'boxes' not in sample.gt_segments

    def learns(self, sample: XDetDataSample) -> bool:
        """Whether it has targets, and wants segmentation if it says which tasks it wants."""
        wanted = sample.metainfo.get('tasks', SegmentationTask.names)
        return self.trains(sample) and not set(SegmentationTask.names).isdisjoint(wanted)

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Divergence of the student's queries from those of the teacher; see the criterion for the names.

        Raises:
            FileNotFoundError, ValueError: The teacher cannot be used.
        """
        rows = [row for row, sample in enumerate(context.samples) if self.trains(sample)]
        if len(rows) < len(context.samples):
            outputs, context = outputs.select(rows), context.select(rows)
        segments = [sample.gt_segments for sample in context.samples]
        targets = SegmentTargets(segments, input_size(outputs), image_names(context))
        taught = self._ask(context, targets)
        vocabularies = [vocabulary_of(sample) for sample in context.samples]
        text = {vocabulary: context.vocabulary.sample(vocabulary) for vocabulary in dict.fromkeys(vocabularies)}
        class_embeds = [layer.rows(layer.class_embed, OBJECT) for layer in outputs.layers]
        class_logits = layer_class_logits(class_embeds, vocabularies, text, context.text.logit_scale)
        student = (
            [layer.rows(layer.mask_embed, OBJECT) for layer in outputs.layers],
            class_logits,
            outputs.mask_features,
        )
        losses: dict[str, Tensor] = self.criterion(*student, self.criterion.match(*student, targets), taught)
        if self.name_criterion is not None:
            assert self._loaded is not None
            names = self._loaded[0].vocabulary
            compared = [self.name_criterion(own, names(vocabulary)) for vocabulary, own in text.items()]
            for key in compared[0]:
                losses[f'{key}_names'] = torch.stack([found[key] for found in compared]).mean()
        return losses

    @torch.no_grad()
    def _ask(self, context: TaskContext, targets: SegmentTargets) -> TaughtSegments:
        """What the teacher says about every segment."""
        images = context.features.image
        if images is None or context.colours is None:
            raise ValueError(
                'DistillationTask: the teacher needs the images, which the data preprocessor does not give'
            )
        if self._loaded is None:
            self._loaded = _load(self.teacher, self.weights, images.device)
        model, task = self._loaded
        samples = [XDetDataSample(metainfo=dict(vocabulary=vocabulary_of(sample))) for sample in context.samples]
        asked = model.context(
            model.latent_pass(model.encode(model.data_preprocessor.normalised(context.colours(images)))), samples
        )
        layer, features = asked.outputs.last, asked.features.mask_features
        embeds = layer.rows(layer.mask_embed, OBJECT)
        logits = [of_image[: embeds.shape[1]] for of_image in task.class_logits(asked)]  # without the image query
        matches = [match[0] for match in self.criterion.match([embeds], [logits], features, targets)]
        queries = [match.clamp(min=0) for match in matches]
        return TaughtSegments(
            [own[chosen] for own, chosen in zip(logits, queries, strict=True)],
            [
                torch.einsum('nc,chw->nhw', own[chosen], pixels)
                for own, chosen, pixels in zip(embeds, queries, features, strict=True)
            ],
            [match >= 0 for match in matches],
        )


def _load(name: str, weights: str | None, device: torch.device) -> tuple[XDecoder, SegmentationTask]:
    """The teacher and its segmentation task, frozen.

    Raises:
        FileNotFoundError: There is no such model.
        ValueError: It cannot be built, its weights do not fit, or it does not segment.
    """
    spec = model_zoo.resolve_model(name, weights, False)
    try:
        # The random numbers of a training are those of its iteration, with or without a teacher that is built in it.
        with torch.random.fork_rng(), DefaultScope.overwrite_default_scope('xdet'):
            model = MODELS.build(copy.deepcopy(spec.cfg.model))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(f'teacher {spec.name} cannot be built: {cause(error)}') from error
    task = next((task for task in model.tasks.values() if isinstance(task, SegmentationTask)), None)
    if task is None:
        raise ValueError(f'teacher {spec.name} has no segmentation task; its tasks are {", ".join(model.task_names)}')
    assert spec.weights is not None  # random ones were not asked for
    load_weights(model, spec.weights)
    return model.to(device).eval().requires_grad_(False), task
