"""What a phrase means: in one image, and in the images of a collection that fit it best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xdet.inference.inputs.images import ImageInput

if TYPE_CHECKING:
    from xdet.inference.inferencer import XDecoderInferencer

    from .index import ImageIndex


@dataclass(frozen=True)
class RegionHit:
    """A region of an image that was found.

    Attributes:
        path (str): Path of the image.
        score (float): That of the image, see :class:`~xdet.retrieval.index.ImageHit`.
        mask (np.ndarray): bool ``[H, W]`` in the size of the image; nothing is marked when no pixel fits the phrase.
        mask_score (float): Mean foreground probability inside the mask, 0 for an empty one.
    """

    path: str
    score: float
    mask: np.ndarray
    mask_score: float


def segment_phrase(inferencer: XDecoderInferencer, image: ImageInput, phrase: str) -> tuple[np.ndarray, float]:
    """Mask of one phrase in one image.

    Args:
        inferencer (XDecoderInferencer): With a model that has the task ``refseg``.
        image (ImageInput): Path, URL, BGR array or Pillow image.
        phrase (str): What to find.

    Returns:
        tuple[np.ndarray, float]: bool ``[H, W]`` in the size of the image, and the mask's score.

    Raises:
        ImageReadError: The image cannot be read.
        ValueError: The phrase is empty, or the model has no such task.
    """
    result = inferencer(image, task='refseg', phrases=[phrase], return_datasamples=True, show_progress=False)
    found = result['predictions'][0].pred_phrases
    return found.masks[0].cpu().numpy().astype(bool), float(found.scores[0])


def find_regions(
    inferencer: XDecoderInferencer,
    index: ImageIndex,
    phrase: str,
    k: int = 1,
    decoder_weight: float | None = None,
    min_score: float = -np.inf,
) -> list[RegionHit]:
    """Find the images of a collection that fit a phrase best, and in each the region the phrase means.

    The composition of the paper's region retrieval. It ranks images by the decoder's vector alone
    (``decoder_weight=1``) and keeps the first.

    Args:
        inferencer (XDecoderInferencer): With a model that has the tasks ``retrieval`` and ``refseg``.
        index (ImageIndex): The collection.
        phrase (str): What to find.
        k (int): Most images.
        decoder_weight (float, optional): See :meth:`~xdet.retrieval.index.ImageIndex.search`.
        min_score (float): Images with lower scores are left out.

    Returns:
        list[RegionHit]: Best image first.

    Raises:
        ImageReadError: An image was removed or damaged after the index was built.
    """
    hits = index.search(phrase, k, decoder_weight, min_score)[0]
    return [RegionHit(hit.path, hit.score, *segment_phrase(inferencer, hit.path, phrase)) for hit in hits]
