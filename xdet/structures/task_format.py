"""How a task is asked and reported: the half of a task that people see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

from xdet.options import Option, options_of
from xdet.registry import TASK_FORMATS

from .data_sample import XDetDataSample
from .text_line import TextLine


class TaskFormat:
    """Base of all formats, registered in ``TASK_FORMATS`` under the name of a task.

    Attributes:
        field (str): Field of a sample that the task predicts.
        prompts (tuple[str, ...]): Prompts it takes, of :class:`~xdet.options.Prompts` or of :attr:`options`.
        one_of (tuple[str, ...]): Prompts of which it needs exactly one.
        any_of (tuple[str, ...]): Prompts of which it needs at least one.
        options (type | None): A ``TypedDict`` of prompts that xdet does not have, declared as in ``xdet/options.py``.
            Their values arrive in :attr:`TextPrompts.more <xdet.structures.TextPrompts>`.
        builds_on (tuple[str, ...]): Tasks that are asked for as well, because it reads what they predict.
        writes (bool): Whether it takes settings of generated texts.
        mentions (bool): Whether its texts mention names that a model which comes with xdet should look for
            (``pred_presence`` of its class names then stands in the sample).
        ranks (bool): Whether its scores rank the images of a call (:mod:`xdet.inference.outputs.ranking`).
    """

    field: ClassVar[str] = ''
    prompts: ClassVar[tuple[str, ...]] = ()
    one_of: ClassVar[tuple[str, ...]] = ()
    any_of: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[type | None] = None
    builds_on: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[bool] = False
    mentions: ClassVar[bool] = False
    ranks: ClassVar[bool] = False

    def results(self, sample: XDetDataSample) -> Mapping[str, Any]:
        """What becomes part of the image's prediction, ready for JSON; ``sample`` is on the CPU."""
        raise NotImplementedError

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """A prediction as lines for people."""
        raise NotImplementedError

    def maps(self, sample: XDetDataSample) -> dict[str, NDArray[Any]]:
        """PNG images by suffix, uint8/uint16 ``[H, W]`` or RGB uint8 ``[H, W, 3]``."""
        return {}

    def lines(self, sample: XDetDataSample, score_thr: float) -> list[TextLine]:
        """What is written below the image."""
        return []

    @classmethod
    def own_options(cls) -> dict[str, Option]:
        """Prompts that only this task has, by name."""
        return options_of(cls.options) if cls.options is not None else {}


class TaskFormats(Mapping[str, TaskFormat]):
    """All registered formats by the name of their task, those of other packages last."""

    def __getitem__(self, task: str) -> TaskFormat:
        form: type[TaskFormat] | None = self._classes().get(task)
        if form is None:
            raise KeyError(task)
        return form()

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes())

    def __len__(self) -> int:
        return len(self._classes())

    def __contains__(self, task: object) -> bool:
        return task in self._classes()

    @staticmethod
    def _classes() -> dict[str, type[TaskFormat]]:
        TASK_FORMATS.import_from_location()
        return TASK_FORMATS.module_dict


FORMATS = TaskFormats()
"""How tasks are asked and reported, by name."""
