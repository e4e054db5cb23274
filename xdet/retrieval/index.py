"""Search in collections: images by texts, texts by images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from xdet.inference.inputs.images import ImageInput, ImageSource, expand_images
from xdet.io.reading import expand
from xdet.io.schema import number, shown
from xdet.io.terminal import progress
from xdet.lazy import import_optional

from .approximate import Approximate, Recipe
from .collection import list_images, list_texts
from .embedding import Embedder
from .store import EmbeddingStore, Item, RetrievalIndexError, usable

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer

_LOGGER = logging.getLogger(__name__)
_Index = TypeVar('_Index', bound='_SavedIndex')


@dataclass(frozen=True)
class ImageHit:
    """An image that was found.

    Attributes:
        path (str): Path of the file.
        score (float): Weighted mean of two cosines, from -1 to 1.
    """

    path: str
    score: float


@dataclass(frozen=True)
class TextHit:
    """A text that was found.

    Attributes:
        text (str): The text.
        path (str): File it stands in; the first one, when it occurs more than once.
        line (int): Its line there, from 1.
        score (float): Weighted mean of two cosines, from -1 to 1.
    """

    text: str
    path: str
    line: int
    score: float


class _SavedIndex:
    """What both kinds of index have in common: a folder of embeddings, updated and searched.

    Args:
        embedder (Embedder): Embeds queries.
        store (EmbeddingStore): Holds the collection's embeddings.
        root (Path): Folder that paths of items are relative to.
        failed (Mapping[str, str]): Paths that could not be embedded by this build, with the reason.
    """

    kind: ClassVar[str]

    def __init__(
        self, embedder: Embedder, store: EmbeddingStore, root: Path, failed: Mapping[str, str] | None = None
    ) -> None:
        self.embedder = embedder
        self.root = root
        self.failed = dict(failed or {})
        self._table = store.rows()  # before the items: they are read again where the rows have moved
        self._items = list(store.items.items())

    def __len__(self) -> int:
        return len(self._items)

    @classmethod
    def load(
        cls: type[_Index],
        inferencer: XDecoderInferencer,
        index_dir: str | Path,
        pipeline: Sequence[dict] | None = None,
    ) -> _Index:
        """Open a saved index for searching.

        Args:
            inferencer (XDecoderInferencer): With the weights that the index was built with.
            index_dir (str | Path): Folder of the index.
            pipeline (Sequence[dict], optional): The one it was built with, if that was not the model's own.

        Raises:
            RetrievalIndexError: There is none, it is damaged or of a newer format, or it was built with other weights
                or another pipeline.
        """
        embedder = Embedder(inferencer, pipeline)
        store = EmbeddingStore(index_dir, embedder.signature(cls.kind))
        if not store.exists:
            raise RetrievalIndexError(f"index '{index_dir}' does not exist; build it first")
        if not store.complete:
            _LOGGER.warning(f"index '{index_dir}' is incomplete, its building was interrupted; build it again")
        return cls(embedder, store, Path(store.facts.get('root') or '.'))

    @cached_property
    def _faiss_index(self) -> Any:
        """Exact inner products with the rows; the two vectors of an image are one long row."""
        rows = self._table.reshape(len(self._table), -1)
        index = import_faiss().IndexFlatIP(rows.shape[1] if rows.size else 1)
        if len(rows):
            index.add(np.ascontiguousarray(rows))
        return index

    def approximate(self, recipe: Recipe | None = None, rescore: int = 10) -> None:
        """Search in large collections without comparing all rows from now on; found rows keep their true scores.

        Args:
            recipe (Recipe, optional): How; None is inverted lists of quantised rows.
            rescore (int): Candidates per wanted result that are compared exactly; more find more.

        Raises:
            ImportError: faiss is not installed.
            ValueError: The collection is too small for it.
        """
        rows = self._table.reshape(len(self._table), -1)
        self.__dict__['_faiss_index'] = Approximate.build(rows, recipe or Recipe(), rescore=rescore)

    def _search(self, queries: np.ndarray, k: int, min_score: float) -> list[list[tuple[str, Item, float]]]:
        """Key, item and score of the best rows for every query, best first."""
        k = number('k', k, int, 1)
        min_score = number('min_score', min_score, float, -np.inf, np.inf)
        if not self._items:
            import_faiss()
            return [[] for _ in queries]
        scores, rows = self._faiss_index.search(np.ascontiguousarray(queries), min(k, len(self._items)))
        return [
            # faiss fills up with row -1 what it cannot compare.
            [
                (*self._items[row], float(score))
                for score, row in zip(*found, strict=True)
                if row >= 0 and score >= min_score
            ]
            for found in zip(scores, rows, strict=True)
        ]

    def _weights(self, decoder_weight: float | None) -> np.ndarray:
        """Weights ``[2, 1]`` of decoder and backbone."""
        weight = self.embedder.decoder_weight if decoder_weight is None else decoder_weight
        weight = number('decoder_weight', weight, float, 0, 1)
        return np.array([[weight], [1 - weight]], np.float32)


class ImageIndex(_SavedIndex):
    """Images of a folder, to be found by texts.

    Both vectors of every image are kept, so the weight of decoder and backbone is chosen at search time.

    Examples:
        >>> index = ImageIndex.build(inferencer, 'photos', 'photos.index')
        >>> index.search(['a dog on a beach'], k=3)[0][0].path
    """

    kind = 'images'

    @classmethod
    def build(
        cls,
        inferencer: XDecoderInferencer,
        folder: str | Path,
        index_dir: str | Path,
        batch_size: int = 16,
        pipeline: Sequence[dict] | None = None,
        show_progress: bool = True,
    ) -> ImageIndex:
        """Embed the images of a folder and its sub-folders, or bring a saved index up to date.

        Images that are in the index with the same size and time of change are not embedded again; those that are
        gone leave it. An interrupted run goes on where it stopped. Unreadable images are logged and skipped.

        Args:
            inferencer (XDecoderInferencer): With a model that has a retrieval task.
            folder (str | Path): The images.
            index_dir (str | Path): Where the index lies; made when missing.
            batch_size (int): Images per forward pass; embeddings do not depend on it.
            pipeline (Sequence[dict], optional): See :class:`~xdet.retrieval.embedding.Embedder`.
            show_progress (bool): Show a progress bar.

        Returns:
            ImageIndex: The index; its ``failed`` names images that were skipped, with the reason.

        Raises:
            RetrievalIndexError: The folder of the index cannot be written, or it holds an index of other weights,
                another pipeline, another collection or a newer format.
            ValueError: ``folder`` has no images, or the model no retrieval task.
        """
        wanted = list_images(folder)
        root = expand(folder)
        embedder = Embedder(inferencer, pipeline)
        failed: dict[str, str] = {}

        def embed(paths: list[str]) -> dict[str, np.ndarray]:
            rows, errors = embedder.images([ImageSource(str(root / path), str(root / path)) for path in paths])
            failed.update({str(root / paths[place]): str(error) for place, error in errors.items()})
            readable = [path for place, path in enumerate(paths) if place not in errors]
            found = dict(zip(readable, rows, strict=True))
            bad = [path for path, row in found.items() if not usable(row)]
            failed.update({str(root / path): f'{root / path}: its embedding is zero or not finite' for path in bad})
            return {path: row for path, row in found.items() if path not in bad}

        batches = _batches(batch_size, 'Embedding images', show_progress)
        store = _update(embedder.signature(cls.kind), root, index_dir, wanted, _same_file, embed, batches)
        if failed:
            lines = [f'{len(failed)} of {len(wanted)} images were skipped:', *failed.values()]
            _LOGGER.warning('\n  '.join(lines))
        return cls(embedder, store, root, failed)

    def search(
        self,
        texts: str | Sequence[str],
        k: int = 10,
        decoder_weight: float | None = None,
        min_score: float = -np.inf,
    ) -> list[list[ImageHit]]:
        """Find images for texts.

        Args:
            texts (str | Sequence[str]): One or more.
            k (int): Most images per text.
            decoder_weight (float, optional): Weight of the decoder's cosine, from 0 to 1; the backbone's has the rest.
                None is the model's own, officially 0.5.
            min_score (float): Images with lower scores are left out.

        Returns:
            list[list[ImageHit]]: Per text its best images, best first.

        Raises:
            ImportError: faiss is not installed.
            ValueError: An empty text, or an impossible number.
        """
        queries = _check_texts([texts] if isinstance(texts, str) else texts)
        self.embedder.inferencer.warn_of_far(queries)
        vectors = self._weights(decoder_weight) * self.embedder.texts(queries)[:, None]
        found = self._search(vectors.reshape(len(queries), -1), k, min_score)
        return [[ImageHit(str(self.root / path), score) for path, _, score in hits] for hits in found]


class TextIndex(_SavedIndex):
    """Lines of text files, to be found by images.

    Examples:
        >>> index = TextIndex.build(inferencer, 'captions.txt', 'captions.index')
        >>> index.search('street.jpg', k=3)[0][0].text
    """

    kind = 'texts'

    @classmethod
    def build(
        cls,
        inferencer: XDecoderInferencer,
        source: str | Path,
        index_dir: str | Path,
        batch_size: int = 256,
        show_progress: bool = True,
    ) -> TextIndex:
        """Embed the lines of a text file, or of the ``.txt`` files of a folder and its sub-folders.

        As with images, only texts that are new to the index are embedded. Equal texts are embedded and found once;
        empty lines are skipped.

        Args:
            inferencer (XDecoderInferencer): With a model that has a retrieval task.
            source (str | Path): File (UTF-8) or folder.
            index_dir (str | Path): Where the index lies; made when missing.
            batch_size (int): Texts between two steps of the progress bar.
            show_progress (bool): Show a progress bar.

        Raises:
            RetrievalIndexError: See :meth:`ImageIndex.build`.
            ValueError: There are no texts, or a file is no UTF-8 text.
        """
        root, wanted = list_texts(source)
        embedder = Embedder(inferencer)
        store = _update(
            embedder.signature(cls.kind),
            root,
            index_dir,
            wanted,
            lambda old, new: True,  # the key is the text itself
            lambda texts: dict(zip(texts, embedder.texts(texts), strict=True)),
            _batches(batch_size, 'Embedding texts', show_progress),
        )
        return cls(embedder, store, root)

    def search(
        self,
        images: ImageInput | Sequence[ImageInput],
        k: int = 10,
        decoder_weight: float | None = None,
        min_score: float = -np.inf,
    ) -> list[list[TextHit]]:
        """Find texts for images.

        Args:
            images (ImageInput | Sequence[ImageInput]): Path, folder, URL, BGR array, Pillow image, or a list of these.
            k (int): Most texts per image.
            decoder_weight (float, optional): As in :meth:`ImageIndex.search`.
            min_score (float): Texts with lower scores are left out.

        Returns:
            list[list[TextHit]]: Per image its best texts, best first.

        Raises:
            ImageReadError: An image cannot be read.
            ImportError: faiss is not installed.
            ValueError: An impossible number.
        """
        weights = self._weights(decoder_weight)
        vectors, failed = self.embedder.images(expand_images(images)[0])
        if failed:
            raise next(iter(failed.values()))
        found = self._search((weights * vectors).sum(axis=1), k, min_score)
        return [
            [TextHit(text, str(self.root / item['path']), item['line'], score) for text, item, score in hits]
            for hits in found
        ]


def import_faiss() -> Any:
    """The module ``faiss``.

    Raises:
        ImportError: It is not installed; the message says how to install it.
    """
    return import_optional('faiss', 'searching an index', 'retrieval')


def _same_file(saved: Item, wanted: Item) -> bool:
    return all(saved.get(key) == value for key, value in wanted.items())


def _update(
    signature: Any,
    root: Path,
    index_dir: str | Path,
    wanted: Mapping[str, Item],
    unchanged: Callable[[Item, Item], bool],
    embed: Callable[[list[str]], dict[str, np.ndarray]],
    batches: Callable[[list[str]], Iterator[list[str]]],
) -> EmbeddingStore:
    """Open or make the index of a collection and bring it up to date.

    Raises:
        RetrievalIndexError: It belongs to another collection, which still exists: it would lose everything.
    """
    store = EmbeddingStore(index_dir, signature)
    with store.alone():
        saved = store.facts.get('root')
        if saved is not None and Path(saved) != root.resolve() and Path(saved).exists():
            raise RetrievalIndexError(
                f"index '{index_dir}' belongs to '{saved}'; take another folder for the index of '{root}'"
            )
        store.facts['root'] = str(root.resolve())
        store.update(wanted, unchanged, embed, batches)
    return store


def _batches(size: int, description: str, show_progress: bool) -> Callable[[list[str]], Iterator[list[str]]]:
    """Splits keys into batches behind a progress bar."""
    size = number('batch_size', size, int, 1)

    def split(keys: list[str]) -> Iterator[list[str]]:
        parts = [keys[start : start + size] for start in range(0, len(keys), size)]
        yield from progress(parts, description, disable=not (show_progress and parts))

    return split


def _check_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, (bytes, Mapping)) or not isinstance(texts, Iterable):
        raise ValueError(f'texts is a {type(texts).__name__}; accepted are a text and lists of texts')
    texts = list(texts)
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f'text {shown(text)} is empty or not a string; give a description of what to find')
    if not texts:
        raise ValueError('the list of texts is empty; give at least one')
    return texts
