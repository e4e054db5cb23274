"""From the body of a request to what it asks. Nothing in it is a path or an address, and no file is written."""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from xdet.datasets.files.image_io import ImageReadError, decode_image, open_image
from xdet.inference.inputs.options import known_prompts
from xdet.io.errors import cause
from xdet.io.reading import keys_once, shorten
from xdet.io.schema import shown
from xdet.options import GENERATION, REPORT, Option, parse_scores
from xdet.structures.masks.codes import decode_mask

from .limits import Limits
from .refusal import Refused

_MOST_VALUES = 100_000
_MOST_PARTS = 1000
_DEEPEST = 8


@dataclass
class Asked:
    """What a request holds.

    Attributes:
        image (bytes | None): File of an image.
        pixels (int): Of the image.
        name (str): Its name, for results and errors.
        handle (str | None): Or the handle of one that is kept.
        options (dict[str, Any]): Everything else.
    """

    image: bytes | None = None
    pixels: int = 0
    name: str = 'image'
    handle: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def parse(body: bytes, content_type: str, limits: Limits) -> Asked:
    """Read the body of a request.

    Args:
        body (bytes): All of it.
        content_type (str): Header of the request.
        limits (Limits): Of the server.

    Raises:
        Refused: It is damaged, of another kind, or asks for too much.
    """
    kind = content_type.partition(';')[0].strip().lower()
    if kind == 'application/json':
        asked = _json(body)
    elif kind == 'multipart/form-data':
        asked = _multipart(body, content_type)
    else:
        raise Refused(415, f'the content type is {shown(kind)}; accepted are multipart/form-data and application/json')
    if asked.handle is not None and not isinstance(asked.handle, str):
        raise Refused(422, f'handle is {shown(asked.handle)}; accepted is what POST /v1/images returned')
    if (asked.image is None) == (asked.handle is None):
        raise Refused(422, 'give one of image (a file, or its bytes as base64) and handle (of a kept image)')
    if asked.image is not None:
        asked.pixels = check_size(asked.image, asked.name, limits)
    _prepare_masks(asked.options, limits)
    characters = _characters(asked.options)
    if characters > limits.characters:
        raise Refused(413, f'the texts have {characters} characters; accepted are {limits.characters}')
    return asked


def check_size(data: bytes, name: str, limits: Limits) -> int:
    """Pixels of an image that is not decoded yet, by its header.

    Raises:
        Refused: It is no image, or has too many pixels.
    """
    try:
        with open_image(data) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise Refused(413, f'{name}: too large ({cause(error)}); accepted are {limits.pixels} pixels') from None
    except Exception:  # Pillow's readers report damage by exceptions of any type; decoding words it
        try:
            decode_image(data, name)
        except ImageReadError as error:
            raise Refused(422, str(error)) from None
        raise Refused(422, f'{name}: not an image') from None
    if width * height > limits.pixels:
        raise Refused(413, f'{name}: an image of {width}x{height} pixels; accepted are {limits.pixels} pixels')
    return int(width * height)


def load_json(text: str | bytes, most_values: int = _MOST_VALUES, deepest: int = _DEEPEST) -> Any:
    """Value of a JSON text that holds finite numbers and is not too large or deep.

    Args:
        text (str | bytes): The text.
        most_values (int): Values that it may have.
        deepest (int): Lists and objects that may lie in each other.

    Raises:
        Refused: It is none of that.
    """
    data = text.encode('utf-8', errors='replace') if isinstance(text, str) else text
    # Counted before anything is made of it; texts in base64 have none of these characters.
    if data.count(b',') + data.count(b'[') + data.count(b'{') > most_values:
        raise Refused(413, f'the JSON has more than {most_values} values')
    try:
        value = json.loads(data, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=keys_once)
    except RecursionError:
        raise Refused(400, 'the JSON is nested too deeply') from None
    except ValueError as error:
        raise Refused(400, f'the JSON cannot be read ({shorten(cause(error), 100)})') from None
    _check_depth(value, deepest)
    return value


def _json(body: bytes) -> Asked:
    value = load_json(body)
    if not isinstance(value, dict):
        raise Refused(422, f'the JSON is {shown(value)}; accepted is an object with image or handle, and options')
    image, handle = value.pop('image', None), value.pop('handle', None)
    return Asked(None if image is None else from_base64(image, 'image'), handle=handle, options=value)


def from_base64(value: Any, what: str) -> bytes:
    """Bytes of a file in base64, perhaps as a ``data:`` address; other addresses are not fetched.

    Raises:
        Refused: It is no base64.
    """
    if not isinstance(value, str):
        raise Refused(422, f'{what} is {shown(value)}; accepted is the content of an image file as base64')
    if re.match(r'(?!data:)[A-Za-z][A-Za-z0-9+.-]{1,20}:', value):
        raise Refused(422, f'{what} is an address, which this server does not fetch; send the image itself')
    if value.startswith('data:'):
        value = value[value.find(',', 0, 200) + 1 :]
    try:
        return base64.b64decode(re.sub(r'[\r\n]+', '', value), validate=True)  # programs write it in lines
    except (binascii.Error, ValueError) as error:
        raise Refused(422, f'{what} is no base64 ({cause(error)}); send the content of an image file') from None


def _multipart(body: bytes, content_type: str) -> Asked:
    """Parts ``image`` and ``handle``, and options: files of masks, and texts as the command line takes them."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import create_form_parser

    parts: list[tuple[str, str | None, bytes]] = []

    def take(name: bytes | None, file: str | None, data: bytes | None) -> None:
        if len(parts) >= _MOST_PARTS:
            raise Refused(413, f'the body has more than {_MOST_PARTS} parts')
        parts.append(((name or b'').decode('utf-8', 'replace'), file, data or b''))

    def take_file(file: Any) -> None:
        file.file_object.seek(0)
        take(file.field_name, (file.file_name or b'').decode('utf-8', 'replace'), file.file_object.read())

    ended: list[bool] = []
    try:
        # All of it stays in memory, where the body is anyway.
        parser = create_form_parser(
            {'Content-Type': content_type.encode('latin-1', 'replace')},
            lambda part: take(part.field_name, None, part.value),
            take_file,
            config=dict(MAX_MEMORY_FILE_SIZE=len(body) + 1, UPLOAD_ERROR_ON_BAD_CTE=True),
        )
        parser.on_end = lambda: ended.append(True)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError, AssertionError) as error:
        raise Refused(400, f'the multipart body cannot be read ({shorten(cause(error), 100)})') from None
    if not ended:
        raise Refused(400, 'the multipart body is not complete: its last boundary is missing')
    return _sorted(parts)


def _sorted(parts: Sequence[tuple[str, str | None, bytes]]) -> Asked:
    asked, known = Asked(), known_prompts() | GENERATION | REPORT
    texts: dict[str, list[str]] = {}
    for name, file, data in parts:
        kind = known[name].kind if name in known else ''
        if name == 'image' and asked.image is None:
            asked.image, asked.name = data, _file_name(file)
        elif name == 'image':
            raise Refused(422, 'there are several parts called image; a request is about one')
        elif kind == 'masks':
            asked.options.setdefault(name, []).append(data)
        elif file is not None:
            raise Refused(422, f'part {shown(name)} is a file; accepted are files called image and masks')
        else:
            texts.setdefault(name, []).append(_text(data, name))
    if 'handle' in texts:
        asked.handle = _only(texts.pop('handle'), 'handle')
    for name, values in texts.items():
        option = known.get(name)
        asked.options[name] = _option_value(name, values, option) if option is not None else _plain_value(name, values)
    return asked


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode('utf-8')
    except UnicodeDecodeError as error:
        raise Refused(422, f'part {shown(name)} is no text in UTF-8 ({error.reason} at byte {error.start})') from None


def _only(values: list[str], name: str) -> str:
    if len(values) > 1:
        raise Refused(422, f'there are {len(values)} parts called {name}; give one')
    return values[0]


def _option_value(name: str, values: list[str], option: Option) -> Any:
    """The value of an option that is given as the command line takes it."""
    if option.kind in ('names', 'texts'):
        return values[0] if len(values) == 1 else values
    text = _only(values, name)
    try:
        if option.kind == 'scores':
            return parse_scores(text)
    except argparse.ArgumentTypeError as error:
        raise Refused(422, f'{name}: {error}') from None
    if not isinstance(option.kind, str):  # of another package
        return _plain_value(name, values)
    if option.kind != 'value':  # what is asked understands the text itself: boxes, points
        return text
    if option.type is bool:
        switch = dict(true=True, false=False).get(text.lower(), {'1': True, '0': False}.get(text))
        if switch is None:
            raise Refused(422, f'{name} is {shown(text)}; accepted are true and false')
        return switch
    try:
        return option.type(text)
    except ValueError:
        accepted = 'whole numbers' if option.type is int else 'numbers'
        raise Refused(422, f'{name} is {shown(text)}; accepted are {accepted}') from None


def _plain_value(name: str, values: list[str]) -> Any:
    """Of a part that is no option of xdet: JSON if it begins like an object or a list, else the text."""
    if len(values) > 1:
        return values
    return load_json(values[0]) if values[0].lstrip()[:1] in ('{', '[') else values[0]


def _prepare_masks(options: dict[str, Any], limits: Limits) -> None:
    """Replace masks, also those of several tasks, by arrays: no text of a request may be taken for a path."""
    masks = {name for name, option in known_prompts().items() if option.kind == 'masks'}
    tasks = options.get('tasks')
    groups = [options, *filter(lambda part: isinstance(part, dict), tasks.values() if isinstance(tasks, dict) else ())]
    left = limits.mask_pixels
    for group in groups:
        for name in masks & group.keys():
            values = group[name]
            if values is None:
                continue
            if not isinstance(values, list) or not values or len(values) > limits.prompts:
                accepted = f'accepted are lists of 1 to {limits.prompts} masks, base64 of files or RLE as in results'
                raise Refused(422, f'{name} is {shown(values)}; {accepted}')
            group[name] = []
            for number, value in enumerate(values, start=1):
                mask = _mask(value, f'mask {number}', limits)
                left -= mask.size
                if left < 0:
                    raise Refused(413, f'the masks have more than {limits.mask_pixels} pixels together')
                group[name].append(mask)


def _mask(value: Any, what: str, limits: Limits) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if isinstance(value, Mapping):
        size = value.get('size')
        # Whether it is a size at all, decoding says; none of these may be too large for it.
        if isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size):
            if size[0] * size[1] > limits.pixels:
                raise Refused(413, f'{what}: {size[1]}x{size[0]} pixels; accepted are {limits.pixels} pixels')
        try:
            return decode_mask(value)  # type: ignore[arg-type]
        except ValueError as error:
            raise Refused(422, f'{what}: {cause(error)}') from None
    data = value if isinstance(value, bytes) else from_base64(value, what)
    check_size(data, what, limits)
    try:
        return np.asarray(decode_image(data, what).any(axis=2))
    except ImageReadError as error:
        raise Refused(422, str(error)) from None


def _file_name(name: str | None) -> str:
    """Last part of a file's name as printable text."""
    last = re.split(r'[\\/]', name or '')[-1]
    return shorten(''.join(letter for letter in last if letter.isprintable()).strip(' .'), 100) or 'image'


def _refuse_constant(name: str) -> Any:
    raise ValueError(f'{name} is no number of JSON')


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_constant(shorten(text, 40))


def _check_depth(value: Any, left: int) -> None:
    if isinstance(value, (dict, list)):
        if not left:
            raise Refused(400, 'the JSON is nested too deeply')
        for entry in value.values() if isinstance(value, dict) else value:
            _check_depth(entry, left - 1)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _characters(entry) for key, entry in value.items())
    return sum(map(_characters, value)) if isinstance(value, list) else 0
