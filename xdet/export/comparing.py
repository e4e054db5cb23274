"""Graphs that compare a whole image with texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xdet.models import XDecoder
from xdet.models.similarity import cosine_logits
from xdet.tasks import RetrievalTask


class Retrieval(nn.Module):
    """Embeddings of an image and of texts, and how well they fit."""

    def __init__(self, task: RetrievalTask) -> None:
        super().__init__()
        self.task = task

    def forward(self, class_embed: Tensor, image_mean: Tensor, pooled: Tensor) -> tuple[Tensor, ...]:
        """``embedding`` ``[2, C]`` (decoder, backbone), ``texts`` ``[m, C]``, all of unit length, and ``scores``."""
        halves = torch.stack((class_embed[-1], image_mean[0] @ self.task.backbone_proj))
        embedding, texts = _unit(halves), _unit(pooled)
        return embedding, texts, self.task.scores(embedding[None], texts)[0]


class Classification(nn.Module):
    """Classification of a whole image with any names."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.logit_scale = model.text_encoder.logit_scale

    def forward(self, class_embed: Tensor, text: Tensor) -> Tensor:
        """``probabilities`` ``[K]``."""
        return cosine_logits(class_embed[-1], text, self.logit_scale).softmax(dim=-1)


def _unit(embeddings: Tensor) -> Tensor:
    """Rows of unit length; retrieval divides by the plain norm."""
    return embeddings / embeddings.norm(dim=-1, keepdim=True)
