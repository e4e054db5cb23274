"""Class names learned from regions of images instead of from their text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from xdet.io.schema import number
from xdet.io.writing import check_place
from xdet.models.heads.prompted import like_a_name
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
WORDS, WORDS_SHARE = 32, 0.7
"""How many words describe an object, and how much they count beside how it looks; chosen on validation photographs."""


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
    found, scores = _learn(inferencer, images, shown)
    if share:
        found = F.normalize((1 - share) * found + share * inferencer.model.vocabulary.from_text(name), dim=0)
    rows = {name: found}
    if not_shown:
        rows[f'not {name}'], more = _learn(inferencer, images if not_images is None else not_images, not_shown)
        scores += more
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


def _learn(inferencer: XDecoderInferencer, images: Any, shown: dict[str, Any]) -> tuple[Tensor, list[float]]:
    """The unit vector ``[C]`` that stands for the objects that are shown, and how well each was found."""
    results = inferencer.click(images, **shown)
    several = isinstance(results, Sequence)
    if several and results.failed:
        raise ExampleError(results.failed[0]['error'])
    found: list[InstanceData] = []
    scores: list[float] = []
    for result in results if several else [results]:
        for place, row in enumerate(result.prediction['segments']):
            if row['answer']:
                continue
            if row['score'] < LEAST_SCORE:
                raise ExampleError(
                    f'{result.image}: the model sees no object in region {row["object"] + 1} (score '
                    f'{row["score"]:.2f}, needed {LEAST_SCORE}); show a whole object, or leave it out'
                )
            found.append(result.sample.pred_objects[place])
            scores.append(row['score'])
    objects = InstanceData.cat(found)
    if 'pixels' not in objects:
        return _mean(objects.embeddings), scores
    return _with_pixels(inferencer, *map(_mean, (objects.embeddings, objects.pixels, objects.everywhere))), scores


def _with_pixels(inferencer: XDecoderInferencer, queries: Tensor, pixels: Tensor, everywhere: Tensor) -> Tensor:
    """What stands for objects where pixels have a say in names: a unit vector ``[C]``.

    Both are compared with the embedding of a name, but an object as queries see it means nothing to pixels, and the
    reverse, and neither is to be compared with other names. So the words of the training vocabulary that describe the
    object best, by the mixture by which it would be named, stand for most of it; how it looks stands for the rest.

    Args:
        inferencer (XDecoderInferencer): The model.
        queries (Tensor): Unit vector ``[C]``, the object as the name of queries.
        pixels (Tensor): Likewise, of its pixels.
        everywhere (Tensor): Likewise, of all pixels of the images.
    """
    if inferencer.word_check is None:  # no words: it can be told from other examples, hardly from names
        return _mean(torch.stack([queries, pixels]))
    looks = _mean(torch.stack([queries, like_a_name(pixels[None], everywhere[None], turn=0.3)[0]]))
    pixel_names = inferencer.model.tasks['segmentation'].pixel_names
    names, rows = inferencer.word_check.dictionary()
    both = queries + pixels if pixel_names.joined else torch.lerp(queries, pixels, pixel_names.share)
    like = torch.as_tensor(rows).to(queries) @ both
    weights, best = (inferencer.model.text_encoder.logit_scale.exp() * like).softmax(0).topk(min(WORDS, len(names)))
    words = Vocabulary(tuple(names[place] for place in best.tolist()), (True,) * len(best))
    described = F.normalize(weights @ inferencer.model.vocabulary(words)[:-1], dim=0)
    return F.normalize(WORDS_SHARE * described + (1 - WORDS_SHARE) * looks, dim=0)


def _mean(rows: Tensor) -> Tensor:
    return F.normalize(rows.mean(0), dim=0)
