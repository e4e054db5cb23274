"""Image-text retrieval: is the own partner among the nearest?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from xdet.registry import METRICS

from .fields import check_finite, field, name_of, require_results

_BLOCK = 1024


def retrieval_ranks(images: Tensor, texts: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
    """Rank of the right partner, 0 being the best.

    Of equal scores the wrong partner wins, so a model whose embeddings are all the same finds nothing. Scores are
    summed in double precision and compared in single, so that equal texts (data sets repeat some) score the same
    wherever they stand. Memory grows with the number of images plus that of texts, not with their product.

    Args:
        images (Tensor): Float ``[n, C]``.
        texts (Tensor): Float ``[m, C]``.
        owners (Tensor): int64 ``[m]``, the image of every text; every image has at least one.

    Returns:
        tuple[Tensor, Tensor]: int64 ``[n]``: texts of other images that are as near to an image as the nearest of its
        own or nearer. int64 ``[m]``: likewise the other images that are as near to a text as its own.
    """
    own_scores = (images[owners].double() * texts.double()).sum(1).float()
    best = torch.full((len(images),), -torch.inf).scatter_reduce(0, owners, own_scores, 'amax')
    image_ranks = torch.zeros(len(images), dtype=torch.int64)
    text_ranks = torch.zeros(len(texts), dtype=torch.int64)
    everyone = torch.arange(len(images))
    for start in range(0, len(texts), _BLOCK):
        part = slice(start, start + _BLOCK)
        scores = (images.double() @ texts[part].double().T).float()  # [n, block]
        others = owners[None, part] != everyone[:, None]
        image_ranks += ((scores >= best[:, None]) & others).sum(1)
        text_ranks[part] = ((scores >= own_scores[None, part]) & others).sum(0)
    return image_ranks, text_ranks


@METRICS.register_module()
class RetrievalRecall(BaseMetric):
    """Recall of image-to-text and text-to-image retrieval among the images of the test set and their ``captions``.

    Reads ``pred_embedding`` ``[2, C]`` (decoder half, backbone half) and ``pred_text_embeddings`` ``[m, C]`` of every
    sample, all of unit length. ``image_to_text_R@k`` and ``text_to_image_R@k`` are in percent.

    Args:
        ks (Sequence[int]): The k of ``R@k``.
        decoder_weight (float): Weight of the decoder's cosine, from 0 to 1; the backbone's has the rest.
        group_size (int, optional): Search among this many images at a time, in the order of their ``img_id``, and
            average over groups (images that fill no group are left out). None: among all.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: An argument is out of range, or there are fewer images than ``group_size``.
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        ks: Sequence[int] = (1, 5, 10),
        decoder_weight: float = 0.5,
        group_size: int | None = None,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if not 0 <= decoder_weight <= 1:
            raise ValueError(f'decoder_weight is {decoder_weight}; accepted are numbers from 0 to 1')
        if group_size is not None and group_size < 2:
            raise ValueError(f'group_size is {group_size}; a search needs at least 2 images')
        self.ks = tuple(ks)
        self.decoder_weight = decoder_weight
        self.group_size = group_size

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the embeddings of a batch of images."""
        for sample in data_samples:
            decoder, backbone = field(sample, 'pred_embedding').double().cpu()
            image = self.decoder_weight * decoder + (1 - self.decoder_weight) * backbone
            texts = field(sample, 'pred_text_embeddings').float().cpu()
            check_finite(sample, 'pred_embedding', image)
            check_finite(sample, 'pred_text_embeddings', texts)
            if texts.ndim != 2 or not len(texts):
                raise ValueError(f'{name_of(sample)}: has no embedded caption; every image needs at least one')
            self.results.append((sample.get('img_id', name_of(sample)), image, texts))

    def compute_metrics(self, results: list[tuple[Any, Tensor, Tensor]]) -> dict[str, float]:
        """Search in every group and count hits.

        Raises:
            ValueError: There are fewer images than one group has.
        """
        require_results(self, results)
        size = self.group_size or len(results)
        if len(results) < size:
            raise ValueError(f'{len(results)} images are fewer than group_size {size}')
        # Groups must not depend on how many processes shared the images.
        ordered = sorted(results, key=lambda result: result[0])
        ranks = [self._ranks(ordered[start : start + size]) for start in range(0, len(ordered) - size + 1, size)]
        summary = {}
        for name, parts in zip(('image_to_text', 'text_to_image'), zip(*ranks, strict=True), strict=True):
            own = torch.cat(parts)
            summary.update({f'{name}_R@{k}': 100 * int((own < k).sum()) / len(own) for k in self.ks})
        return summary

    @staticmethod
    def _ranks(group: list[tuple[Any, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        owners = torch.cat([torch.full((len(texts),), index) for index, (_, _, texts) in enumerate(group)])
        return retrieval_ranks(
            torch.stack([image for _, image, _ in group]), torch.cat([texts for _, _, texts in group]), owners
        )
