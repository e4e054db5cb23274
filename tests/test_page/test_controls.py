"""The form follows from what options and formats of tasks declare."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator

import pytest

from xdet.options import PROMPTS
from xdet.page.controls import LONGEST_TEXT, TITLES, controls, hint, read_values, title
from xdet.registry import TASK_FORMATS, TASKS
from xdet.structures import FORMATS


@pytest.mark.parametrize('task', sorted(TITLES))
def test_every_task_has_what_it_takes(task: str) -> None:
    form, fields = FORMATS[task], controls(task)
    assert set(form.prompts) <= set(fields)
    assert ('num_beams' in fields) == form.writes
    assert all(fields[name].main for name in (*form.one_of, *form.any_of))
    assert title(task) and hint(task).endswith('.')
    assert all(control.hint and control.label for control in fields.values())


def test_options_of_instances_only_belong_to_them() -> None:
    assert {'nms_iou', 'min_area', 'max_per_image'} <= set(controls('instance'))
    assert not {'nms_iou', 'min_area', 'max_per_image'} & set(controls('panoptic'))
    assert controls('panoptic')['color_by'].kind == 'choice'
    assert {control.kind for control in controls('refcaption').values()} >= {'text', 'files', 'whole', 'number'}


@pytest.fixture
def probe() -> Iterator[None]:
    """A task of another package, forgotten afterwards."""
    assert 'probe' not in FORMATS
    importlib.import_module('tiny.foreign_task')
    yield
    sys.modules.pop('tiny.foreign_task', None)
    TASKS.module_dict.pop('ProbeTask', None)
    TASK_FORMATS.module_dict.pop('probe', None)


def test_a_task_of_another_package_has_its_prompt(probe: None) -> None:
    fields = controls('probe')
    assert fields['probes'].main and fields['probes'].kind == 'text'
    assert fields['probes'].placeholder == '3 4; 10 20' and controls('interactive')['points'].placeholder == '60 45'
    assert title('probe') == 'probe' and hint('probe') == ''  # its format says nothing


def test_values_become_options() -> None:
    values = dict(
        classes=' dog . cat ', background='', score='dog=0.6 . cat=0.3', mask=0.4, overlap=None, questions='x'
    )
    assert read_values('panoptic', values) == dict(classes='dog . cat', score=dict(dog=0.6, cat=0.3), mask=0.4)
    assert read_values('refcaption', dict(boxes='1 2 3 4', num_beams=3.0)) == dict(boxes=[[1, 2, 3, 4]], num_beams=3)
    assert read_values('caption', dict(num_beams=' 3 ', top_p='0.5', seed='')) == dict(num_beams=3, top_p=0.5)
    assert read_values('interactive', dict(points='3 4; 5 6 0')) == dict(points=[[3, 4], [5, 6, 0]])
    assert read_values('refcaption', dict(masks=['a.png'])) == dict(masks=['a.png'])


@pytest.mark.parametrize(
    'task, values, told',
    [
        ('panoptic', dict(score='much'), 'Score: .*is no score'),
        ('panoptic', dict(mask='1e999'), "Mask: '1e999' is no number"),
        ('caption', dict(num_beams='2.5'), "Num beams: '2.5' is no whole number"),
        ('panoptic', dict(mask=True), 'Mask: True is no number'),
        ('refcaption', dict(boxes='1 2 3'), 'Boxes: .*are no boxes'),
        ('caption', dict(num_beams=1.5), 'Num beams: 1.5 is no whole number'),
        ('caption', dict(num_beams=float('inf')), 'Num beams: inf is no whole number'),
        ('panoptic', dict(classes='x' * (LONGEST_TEXT + 1)), 'Classes: .*has more than 4000 letters'),
        ('panoptic', dict(classes=['dog']), 'Classes: .*is no text'),
    ],
)
def test_wrong_values_name_their_field(task: str, values: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        read_values(task, values)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 300


def test_every_prompt_is_on_the_form_of_some_task() -> None:
    assert set(PROMPTS) <= {name for task in FORMATS for name in controls(task)}
