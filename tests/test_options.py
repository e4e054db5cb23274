"""Options are declared once: command line, Python arguments and documentation say the same."""

import argparse
from pathlib import Path

import pytest

from xdet.inference.inputs.options import documented, takers
from xdet.options import GENERATION, PROMPTS, REPORT, add_arguments, parse_boxes, parse_scores
from xdet.structures import FORMATS
from xdet.tasks.generation import GenerationSettings

DOCS = Path(__file__).resolve().parents[1] / 'docs' / 'inference.md'


def parsed(options, *words):
    parser = argparse.ArgumentParser()
    add_arguments(parser, options.values())
    return {name: value for name, value in vars(parser.parse_args(words)).items() if value not in (None, False)}


def test_documentation_is_the_table():
    text = DOCS.read_text(encoding='utf-8')
    between = text.split('xdet.inference.inputs.options` -->\n')[1].split('<!-- end of options -->')[0]
    assert between.strip() == documented(), 'run `python -m xdet.inference.inputs.options` and copy the table'


@pytest.mark.parametrize(
    'options, words, expected',
    [
        (PROMPTS, ['--things', 'dog . cat'], dict(things='dog . cat')),
        (PROMPTS, ['--points', '1 2; 5,6,0'], dict(points=[[1, 2], [5, 6, 0]])),
        (PROMPTS, ['--boxes', '1 2 3 4; 5,6,7,8'], dict(boxes=[[1, 2, 3, 4], [5, 6, 7, 8]])),
        (PROMPTS, ['--mask', 'a.png', '--mask', 'b.png'], dict(masks=['a.png', 'b.png'])),
        (GENERATION, ['--num-beams', '3', '--top-p', '0.5'], dict(num_beams=3, top_p=0.5)),
        (REPORT, ['--no-save-vis', '--pred-score-thr', '0.1'], dict(no_save_vis=True, pred_score_thr=0.1)),
    ],
)
def test_command_line(options, words, expected):
    assert parsed(options, *words) == expected


def test_python_only_options_have_no_flag(capsys):
    with pytest.raises(SystemExit):
        parsed(REPORT, '--return-vis')


@pytest.mark.parametrize('text', ['', '1 2 3', 'a b c d', ';'])
def test_no_boxes(text):
    with pytest.raises(argparse.ArgumentTypeError, match='are no boxes; accepted is "x1 y1 x2 y2'):
        parse_boxes(text)


@pytest.mark.parametrize('text', ['', 'much', 'dog=', 'dog=0.1 . dog=0.2'])
def test_no_scores(text):
    with pytest.raises(argparse.ArgumentTypeError, match='is no score; accepted are "0.4" and "dog=0.6'):
        parse_scores(text)


def test_settings_of_generation_are_those_of_the_model():
    fields = GenerationSettings.__dataclass_fields__
    assert set(GENERATION) == set(fields)
    told = {name: str(field.default).removesuffix('.0') for name, field in fields.items()}
    assert {name: option.default for name, option in GENERATION.items()} == told | dict(top_p='no sampling')


def test_every_prompt_is_taken_by_a_task_and_every_task_takes_known_prompts():
    assert all(takers().values())
    for form in FORMATS.values():
        assert set(form.prompts) <= set(PROMPTS) and set(form.one_of) <= set(form.prompts)
        assert form.field.startswith('pred_')
