"""What a call asks of each of its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmengine.structures import InstanceData

from xdet.inference.outputs.results import TASK_FORMATS
from xdet.structures import Vocabulary, XDetDataSample

from .prompts import resolve_texts, resolve_vocabularies
from .regions import Regions, resolve_boxes, resolve_masks

CLASS_NAMES = ('things', 'stuff', 'classes', 'vocabulary')
_EXAMPLES = dict(
    phrases="phrases='the red car . a person'",
    boxes='boxes=[[10, 20, 110, 90]]',
    masks="masks='region.png'",
    questions="questions='what is on the table?'",
    texts="texts='a dog on a beach . a street'",
)
_METAINFO = dict(phrases='phrases', questions='questions', texts='captions')


@dataclass(frozen=True)
class Request:
    """What is asked of one image.

    Attributes:
        metainfo (Mapping[str, Any]): Meta information of its sample: ``tasks``, ``vocabulary``, ``phrases`` and so on.
        regions (Regions, optional): Regions to describe.
    """

    metainfo: Mapping[str, Any] = field(default_factory=dict)
    regions: Regions | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that the model has to run."""
        return self.metainfo['tasks']

    def apply(self, sample: XDetDataSample, name: str) -> None:
        """Write the request into a sample.

        Raises:
            RegionError: Regions do not fit the image.
        """
        sample.set_metainfo(dict(self.metainfo))
        if self.regions is not None:
            height, width = sample.ori_shape[:2]
            sample.region_prompts = InstanceData(masks=self.regions.rasterize(height, width, name))


def make_requests(
    task: str,
    prompts: Mapping[str, Any],
    generation: Mapping[str, Any],
    count: int,
    default: Vocabulary | None = None,
    prompts_needed: bool = True,
) -> list[Request]:
    """One request per image.

    Args:
        task (str): A key of :data:`~xdet.inference.outputs.results.TASK_FORMATS`.
        prompts (Mapping[str, Any]): What the user gave, see :class:`~xdet.inference.inputs.options.Prompts`.
        generation (Mapping[str, Any]): See :class:`~xdet.inference.inputs.options.Generation`.
        count (int): Number of images.
        default (Vocabulary, optional): Class names of the model, for users who name none.
        prompts_needed (bool): Whether a task that compares needs something to compare with.

    Raises:
        ValueError: A prompt that the task does not take, a missing or an empty one, or a wrong number of them.
    """
    form = TASK_FORMATS[task]
    _check(task, prompts, generation, prompts_needed)
    common = dict(tasks=(task,), **(dict(generation=dict(generation)) if generation else {}))
    if 'phrases' in prompts and 'refseg' != task:
        common['tasks'] = ('refseg', task)  # what the phrases mean has to be found first
    columns: list[list[dict[str, Any]]] = []
    if 'vocabulary' in form.prompts:
        names = resolve_vocabularies(count, **prompts, default=default)
        columns.append([dict(vocabulary=vocabulary) for vocabulary in names])
    for key, name in _METAINFO.items():
        if key in prompts:
            columns.append([{name: texts} for texts in resolve_texts(key, prompts[key], count)])
    regions: list[Regions] | list[None] = [None] * count
    if 'boxes' in prompts:
        regions = resolve_boxes(prompts['boxes'], count)
    if 'masks' in prompts:
        regions = resolve_masks(prompts['masks'], count)
    requests = []
    for index in range(count):
        metainfo = dict(common)
        for column in columns:
            metainfo.update(column[index])
        requests.append(Request(metainfo, regions[index]))
    if form.ranks and len({request.metainfo.get('captions') for request in requests}) > 1:
        raise ValueError('texts differ between images, but they rank all images of the call; give one list of texts')
    return requests


def _check(task: str, prompts: Mapping[str, Any], generation: Mapping[str, Any], prompts_needed: bool) -> None:
    """Whether the task takes what was given and got what it needs."""
    form = TASK_FORMATS[task]
    foreign = [key for key in prompts if key not in form.prompts]
    if foreign:
        accepted = ', '.join(form.prompts) if form.prompts else 'no prompts'
        raise ValueError(f"task '{task}' does not take {', '.join(foreign)}; accepted are {accepted}")
    if generation and not form.writes:
        writers = ', '.join(name for name, other in TASK_FORMATS.items() if other.writes)
        raise ValueError(f"task '{task}' does not take {', '.join(generation)}; only {writers} write texts")
    if not form.one_of or not (prompts_needed or prompts):
        return
    chosen = [key for key in form.one_of if key in prompts]
    if not chosen:
        examples = ' or '.join(_EXAMPLES[key] for key in form.one_of)
        raise ValueError(f"task '{task}' needs {' or '.join(form.one_of)}, for example {examples}")
    if len(chosen) > 1:
        raise ValueError(f"task '{task}' takes one of {', '.join(form.one_of)}, but got {' and '.join(chosen)}")
