"""A task of another package: adapter, format and a prompt of its own kind, complete without touching xdet."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from xdet.options import Option
from xdet.registry import TASK_FORMATS, TASKS
from xdet.structures import TaskFormat, TextLine
from xdet.tasks import TaskAdapter


def read_probes(name: str, value: Any, count: int) -> list[list[tuple[int, int]]]:
    """Probes ``'x y; x y'`` in pixels, the same for every image."""
    try:
        probes = [tuple(map(int, point.split())) for point in value.split(';')]
        return [[(x, y) for x, y in probes] for _ in range(count)]
    except (AttributeError, ValueError):
        raise ValueError(f"{name} is {value!r}; accepted are points 'x y; x y'") from None


class Probes(TypedDict, total=False):
    probes: Annotated[str, Option('where to probe, "x y; x y"', read_probes, example="'3 4; 10 20'")]


@TASKS.register_module()
class ProbeTask(TaskAdapter):
    """How strong the mask features are at points of the image."""

    names = ('probe',)

    def predict(self, context) -> None:
        strength = context.features.mask_features.norm(dim=1)
        for sample, values in zip(context.samples, strength, strict=True):
            scale = sample.img_shape[0] / sample.ori_shape[0] / 4
            probes = sample.prompts.more['probes']
            sample.pred_strengths = [float(values[int(y * scale), int(x * scale)]) for x, y in probes]


@TASK_FORMATS.register_module(name='probe')
class ProbeFormat(TaskFormat):
    field = 'pred_strengths'
    prompts = ('probes',)
    one_of = ('probes',)
    options = Probes

    def results(self, sample) -> dict:
        rows = zip(sample.prompts.more['probes'], sample.pred_strengths, strict=True)
        return dict(strengths=[dict(point=list(point), strength=strength) for point, strength in rows])

    def summary(self, prediction, score_thr) -> list[str]:
        return [f'{row["point"]}: {row["strength"]:.3f}' for row in prediction['strengths']]

    def lines(self, sample, score_thr) -> list[TextLine]:
        return [TextLine(f'{strength:.3f}') for strength in sample.pred_strengths]
