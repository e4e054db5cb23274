"""Class names learned from regions of images instead of from their text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xdet.io.schema import number
from xdet.io.writing import check_place
from xdet.models.text.embedding_file import (
    EmbeddingFile,
    EmbeddingFileError,
    read_embeddings,
    templates_fingerprint,
    write_embeddings,
)
from xdet.structures import Vocabulary, clean_name

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer
    from xdet.inference.loaded import LoadedModel

LEAST_SCORE = 0.25
"""Score of a region below which no query of the model sees it as an object."""


class ExampleError(ValueError):
    """A name cannot be learned from what was given; the message is one line for the user."""


@dataclass(frozen=True)
class Example:
    """A class name that was learned from regions of images.

    Attributes:
        name (str): The name, for whatever takes class names.
        rows (dict[str, Tensor]): Unit vectors ``[C]``: of the name, and of :attr:`background` if there is one.
        scores (tuple[float, ...]): How well the model's masks fitted the regions, those that are not of the class last.
        encoder (str): Fingerprint of the text encoder that other names are compared with.
        weights (str): Hash of the checkpoint; empty for random weights.
    """

    name: str
    rows: dict[str, Tensor] = field(repr=False)
    scores: tuple[float, ...]
    encoder: str = field(repr=False)
    weights: str = field(repr=False)

    @property
    def background(self) -> str | None:
        """Name of what was shown as not being of the class, to be given as ``background``; None if nothing was."""
        return next((name for name in self.rows if name != self.name), None)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it into a file for ``text_embeddings``, beside the names that the file has already.

        Raises:
            EmbeddingFileError: The file cannot be written, or belongs to other weights.
        """
        save_rows(path, self.rows, self.encoder, self.weights)


def check_rows_file(path: str | os.PathLike[str]) -> None:
    """Refuse a file that :func:`save_rows` could not write, before anything is learned.

    Raises:
        OSError, EmbeddingFileError: It cannot be written, or is there and holds no names.
    """
    check_place(path)
    if Path(path).exists():
        read_embeddings(path)


def save_rows(path: str | os.PathLike[str], rows: Mapping[str, Tensor], encoder: str, weights: str) -> None:
    """Write names that were learned into a file for ``text_embeddings``, beside the names that it has already.

    Args:
        path (str | os.PathLike): The file.
        rows (Mapping[str, Tensor]): Unit vectors ``[C]`` by name.
        encoder (str): Fingerprint of the text encoder that other names are compared with.
        weights (str): Hash of the checkpoint that they were learned with; empty for random weights.

    Raises:
        EmbeddingFileError: The file cannot be written, or belongs to other weights.
    """
    names: dict[tuple[str, bool], Tensor] = {}
    shown: list[str] = []
    if Path(path).exists():
        there = read_embeddings(path)
        there.check(path, len(next(iter(rows.values()))), encoder)
        if there.shown and there.weights != weights:
            raise EmbeddingFileError(f"embeddings '{path}' have examples of other weights; give another file")
        names |= zip(zip(there.names, there.prompted, strict=True), there.embeddings, strict=True)
        shown += there.shown
    names |= {(clean_name(name), True): row.cpu() for name, row in rows.items()}
    shown = list(dict.fromkeys([*shown, *map(clean_name, rows)]))
    content = EmbeddingFile(
        names=[name for name, _ in names],
        prompted=[prompted for _, prompted in names],
        embeddings=torch.stack(list(names.values())),
        encoder=encoder,
        templates=templates_fingerprint(),
        shown=shown,
        weights=weights,
    )
    write_embeddings(path, content)


def learn_example(
    inferencer: XDecoderInferencer,
    name: str,
    images: Any,
    shown: dict[str, Any],
    not_images: Any = None,
    not_shown: dict[str, Any] | None = None,
    name_share: float = 0.0,
) -> Example:
    """Learn a class name from regions of images; see :meth:`XDecoderInferencer.learn_example`."""
    share = number('name_share', name_share, float, 0, 1)
    Vocabulary.from_prompts(classes=[name])
    found, scores = _embeddings(inferencer, images, shown)
    rows = {name: found.mean(0)}
    if share:
        text = inferencer.model.vocabulary.from_text(name)
        rows[name] = (1 - share) * F.normalize(rows[name], dim=0) + share * text
    if not_shown:
        others, more = _embeddings(inferencer, images if not_images is None else not_images, not_shown)
        rows[f'not {name}'], scores = others.mean(0), [*scores, *more]
    rows = {of: F.normalize(row, dim=0) for of, row in rows.items()}
    inferencer.model.vocabulary.learn(rows)
    if inferencer.word_check is not None:
        inferencer.word_check.learn(list(rows))
    encoder = inferencer.model.text_encoder.fingerprint()
    return Example(name, rows, tuple(scores), encoder, inferencer.origin.weights_sha256 or '')


def use_examples(inferencer: LoadedModel, path: str | os.PathLike[str]) -> None:
    """Note which names of a file of embeddings were learned from images.

    Raises:
        EmbeddingFileError: They were learned with other weights.
    """
    content = read_embeddings(path)
    if content.shown and content.weights != (inferencer.origin.weights_sha256 or ''):
        raise EmbeddingFileError(
            f"embeddings '{path}' have the examples {', '.join(content.shown[:3])}, which were learned with other "
            f'weights than {inferencer.origin.weights}; learn them again'
        )
    if inferencer.word_check is not None:
        inferencer.word_check.learn(content.shown)


def _embeddings(inferencer: XDecoderInferencer, images: Any, shown: dict[str, Any]) -> tuple[Tensor, list[float]]:
    """Unit vectors ``[n, C]`` of the objects that are shown, and how well they were found."""
    results = inferencer.click(images, **shown)
    several = isinstance(results, Sequence)
    if several and results.failed:
        raise ExampleError(results.failed[0]['error'])
    rows: list[Tensor] = []
    scores: list[float] = []
    for result in results if several else [results]:
        objects = result.sample.pred_objects
        for place, row in enumerate(result.prediction['segments']):
            if row['answer']:
                continue
            if row['score'] < LEAST_SCORE:
                raise ExampleError(
                    f'{result.image}: the model sees no object in region {row["object"] + 1} (score '
                    f'{row["score"]:.2f}, needed {LEAST_SCORE}); show a whole object, or leave it out'
                )
            rows.append(objects.embeddings[place])
            scores.append(row['score'])
    return torch.stack(rows), scores
