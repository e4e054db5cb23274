"""JSON schemas of requests and results, made of the one declaration of options and of the formats of tasks."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from typing_extensions import NotRequired, get_type_hints, is_typeddict

from xdet.inference.inputs.options import options_of_task
from xdet.options import Option
from xdet.structures import FORMATS

Schema = dict[str, Any]

_TEXTS: Schema = dict(anyOf=[dict(type='string'), dict(type='array', items=dict(type='string'))])
_RLE: Schema = dict(
    type='object',
    description="COCO's compressed run-length encoding, as in results",
    properties=dict(size=dict(type='array', items=dict(type='integer')), counts=dict(type='string')),
    required=['size', 'counts'],
)
_BASE64: Schema = dict(type='string', contentEncoding='base64', description='file of an image, all but black')
_KINDS: Mapping[str, Schema] = dict(
    names=_TEXTS,
    texts=_TEXTS,
    points=dict(
        type='array',
        description='x, y in pixels, and 0 for a point that is not on the object',
        items=dict(type='array', items=dict(type='number'), minItems=2, maxItems=3),
    ),
    boxes=dict(
        type='array',
        description='x1, y1, x2, y2 in pixels',
        items=dict(type='array', items=dict(type='number'), minItems=4, maxItems=4),
    ),
    masks=dict(type='array', items=dict(anyOf=[_RLE, _BASE64])),
    scores=dict(anyOf=[dict(type='number'), dict(type='object', additionalProperties=dict(type='number'))]),
)
_PLAIN = {bool: 'boolean', int: 'integer', float: 'number', str: 'string'}


def served_options(task: str) -> dict[str, Option]:
    """Options that a request for a task may have, by name."""
    return {name: option for name, option in options_of_task(task).items() if option.served}


def option_schema(option: Option) -> Schema:
    """Schema of the values of an option."""
    told = option.help + (f' (default: {option.default})' if option.default else '')
    if not isinstance(option.kind, str):  # of another package, whose function says what it accepts
        return dict(description=told)
    plain = dict(type=_PLAIN[option.type]) if option.kind == 'value' else _KINDS[option.kind]
    return {**plain, 'description': told}


def options_schema(task: str) -> Schema:
    """Schema of the options of a task, as an object."""
    form = FORMATS[task]
    schema: Schema = dict(
        type='object',
        properties={name: option_schema(option) for name, option in served_options(task).items()},
        additionalProperties=False,
    )
    if len(form.one_of) == 1:
        schema['required'] = list(form.one_of)
    elif form.one_of:
        schema['oneOf'] = [dict(required=[name]) for name in form.one_of]
    elif form.any_of:
        schema['anyOf'] = [dict(required=[name]) for name in form.any_of]
    return schema


def result_schema(task: str) -> Schema:
    """Schema of the result of a task: what all have, and what its format says it adds."""
    try:
        own = _schema_of(get_type_hints(type(FORMATS[task]).results, include_extras=True).get('return'))
    except (NameError, TypeError):  # of another package, which need not say it
        own = {}
    text, whole = dict(type='string'), dict(type='integer')
    return dict(
        type='object',
        description=' '.join((type(FORMATS[task]).__doc__ or '').split('\n')[0].split()),
        properties=dict(
            index=whole,
            image=text,
            task=text,
            height=whole,
            width=whole,
            classes=dict(type='array', items=text),
            **own.get('properties', {}),
            unknown_prompts=dict(type='array', items=dict(type='object')),
            provenance=dict(type='object'),
            visualization=dict(type='string', contentEncoding='base64', contentMediaType='image/png'),
        ),
        required=['index', 'image', 'task', 'height', 'width', *own.get('required', ()), 'provenance'],
    )


def _schema_of(hint: Any) -> Schema:
    """Schema of a type of results: typed dictionaries of lists, texts and numbers."""
    if is_typeddict(hint):
        hints = get_type_hints(hint, include_extras=True)
        marker: Any = NotRequired
        optional = {name for name, kind in hints.items() if get_origin(kind) is marker}
        return dict(
            type='object',
            properties={
                name: _schema_of(get_args(kind)[0] if name in optional else kind) for name, kind in hints.items()
            },
            required=[name for name in hints if name not in optional],
        )
    if hint in _PLAIN:
        return dict(type=_PLAIN[hint])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        return dict(type='array', items=_schema_of(arguments[0]))
    if origin in (Union, types.UnionType):
        return dict(anyOf=[_schema_of(kind) for kind in arguments])
    return {}
