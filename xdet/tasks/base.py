"""What a task is: query groups to add, losses and predictions to read out."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xdet.models.context import TaskContext
from xdet.structures import DecoderOutput, ImageFeatures, QueryGroup, TextPrompts, XDetDataSample


class TaskAdapter(nn.Module):
    """Base of all tasks; parameters of its own are allowed.

    In training all tasks that find targets in a batch share one pass of the decoder: each adds its query groups and
    reads its losses from the common output. In prediction a task reads ``context.outputs``, the latent queries' pass
    that tasks share, and runs queries of its own only when it needs more than that.

    Attributes:
        names (tuple[str, ...]): Names under which it can be asked for, and chosen for training.
        default_names (tuple[str, ...]): Those it serves where no task is asked for.
        reads_predictions (bool): Whether it may build on what other tasks predict; it then runs after them.
        joins_sizes (bool): Whether images of a batch that differ in size come together, in :meth:`predict_joined`.
        targets (str): What to call the targets in errors.
    """

    names: tuple[str, ...] = ()
    default_names: tuple[str, ...] = ()
    reads_predictions: bool = False
    joins_sizes: bool = False
    targets: str = 'targets'

    def requested(self, prompts: TextPrompts) -> tuple[str, ...]:
        """Which of the adapter's :attr:`names` are asked for."""
        asked = self.default_names if prompts.tasks is None else prompts.tasks
        return tuple(name for name in asked if name in self.names)

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether the sample has targets for this task."""
        return False

    def kinds(self, sample: XDetDataSample) -> tuple[str, ...]:
        """What kinds of targets a sample that trains has; all processes must have the same ones in a step.

        To be overridden by tasks whose losses, or what they exchange with other processes, depend on it.
        """
        return (self.targets,) if self.trains(sample) else ()

    def learns(self, sample: XDetDataSample) -> bool:
        """Whether it has targets, and wants this task if it says which ones it wants.

        Captions of segmented images serve the noun loss, for example, and need not train captioning as well.
        """
        return self.trains(sample) and not set(self.names).isdisjoint(sample.metainfo.get('tasks', self.names))

    def training_texts(self, context: TaskContext) -> list[str]:
        """Texts that training will have encoded as a whole, so that those of all tasks are encoded in one pass."""
        return []

    def queries(self, context: TaskContext) -> list[QueryGroup]:
        """Groups this task adds in training to the object and image groups; none by default.

        Groups have a row for every image. In ``context.samples``, here and in :meth:`loss`, samples that do not learn
        this task have no targets, whatever their files say.
        """
        return []

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Losses by name; called when at least one sample of the batch has targets."""
        raise NotImplementedError

    def predict(self, context: TaskContext) -> None:
        """Write predictions into ``context.samples``, all of which ask for this task."""
        raise NotImplementedError

    def predict_joined(self, contexts: Sequence[TaskContext]) -> None:
        """The same for several contexts, whose images differ in size or in what else is asked; after other tasks."""
        for context in contexts:
            self.predict(context)


def input_size(outputs: DecoderOutput | ImageFeatures) -> tuple[int, int]:
    """Height and width of the padded input, of which ``mask_features`` are a quarter."""
    height, width = outputs.mask_features.shape[-2:]
    return 4 * height, 4 * width


def image_names(context: TaskContext) -> list[str]:
    """What to call the images of a batch in errors."""
    return [str(sample.metainfo.get('img_path', f'image {i}')) for i, sample in enumerate(context.samples)]


def describe(sample: XDetDataSample) -> str:
    """What to call a sample in errors."""
    return f'sample {sample.metainfo.get("img_path", "without img_path")}'


def texts_of(sample: XDetDataSample, key: str, task: str) -> list[str]:
    """The prompts of a sample that a task is about, such as its ``phrases``.

    Raises:
        ValueError: There are none, or one is empty.
    """
    texts = getattr(sample.prompts, key)
    if isinstance(texts, str) or not texts:
        raise ValueError(f"{describe(sample)} has no list of '{key}'; {task} needs at least one")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{describe(sample)}: {text!r} in '{key}' is empty or not a string")
    return list(texts)
