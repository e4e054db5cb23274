"""Results of a chunk as a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdet.io.writing import replacing

if TYPE_CHECKING:
    from pyarrow import Schema

Row = dict[str, Any]

_OBJECTS = ('segments', 'regions', 'poses')
_TEXTS = dict(captions='text', answers='answer', top_classes='name')


def part_name(number: int) -> str:
    """File of a chunk."""
    return f'part-{number:08d}.parquet'


def row_of(index: int, image: str, prediction: Mapping[str, Any]) -> Row:
    """A row with the result of an image: all of it as JSON, and what most readers want in columns.

    Args:
        index (int): Position among all images.
        image (str): Its name.
        prediction (Mapping[str, Any]): What ``xdet predict`` writes as JSON.
    """
    prediction = dict(prediction, index=index)
    found: list[Row] = next((prediction[key] for key in _OBJECTS if key in prediction), [])
    return dict(
        index=index,
        image=image,
        height=prediction['height'],
        width=prediction['width'],
        result=json.dumps(prediction, ensure_ascii=False, allow_nan=False),
        segments=[
            dict(
                name=entry.get('name', entry.get('phrase')),
                score=entry.get('score'),
                area=entry['area'],
                bbox=entry['bbox'],
                size=entry['segmentation']['size'],
                counts=entry['segmentation']['counts'],
            )
            for entry in found
        ],
        texts=list(_texts(prediction, None)),
    )


def _texts(prediction: Mapping[str, Any], about: str | None) -> Any:
    """Captions, answers and classes with their scores; ``about`` is the phrase or question."""
    for key, name in _TEXTS.items():
        for entry in prediction.get(key, ()):
            if name in entry:
                yield dict(about=about, text=entry[name], score=entry.get('score'))
            else:  # a question with its answers
                yield from _texts(entry, entry['question'])
    for region in prediction.get('regions', ()):
        yield from _texts(region, region.get('phrase'))


def write_rows(path: Path, rows: list[Row], embedded: bool) -> None:
    """Write the file of a chunk, whole or not at all; embeddings have columns of their own.

    Raises:
        OSError: Disk full, no permission, and the like.
    """
    import pyarrow
    from pyarrow import parquet

    with replacing(path) as file:
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=_schema(embedded)), file, compression='zstd')


def read_failures(path: Path, count: int) -> list[Row] | None:
    """Index, name and error of the images without a result in a finished file; None if it is not there, or another."""
    from pyarrow import parquet

    try:
        if parquet.read_metadata(path).num_rows != count:
            return None
        table = parquet.read_table(path, columns=['index', 'image', 'error'])
    except (OSError, ValueError):  # those of pyarrow derive from them
        return None
    rows: list[Row] = table.to_pylist()
    return [row for row in rows if row['error'] is not None]


def _schema(embedded: bool) -> Schema:
    import pyarrow as pa

    common = [('index', pa.int64()), ('image', pa.string()), ('error', pa.string())]
    if embedded:
        vector = pa.list_(pa.float32())
        return pa.schema([*common, ('decoder', vector), ('backbone', vector)])
    segment = dict(
        name=pa.string(),
        score=pa.float64(),
        area=pa.int64(),
        bbox=pa.list_(pa.float64()),
        size=pa.list_(pa.int32()),
        counts=pa.string(),
    )
    text = dict(about=pa.string(), text=pa.string(), score=pa.float64())
    return pa.schema(
        [
            *common,
            ('height', pa.int32()),
            ('width', pa.int32()),
            ('segments', pa.list_(pa.struct(list(segment.items())))),
            ('texts', pa.list_(pa.struct(list(text.items())))),
            ('result', pa.string()),
        ]
    )
