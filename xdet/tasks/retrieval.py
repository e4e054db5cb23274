"""Embeddings of images and texts for retrieval."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xdet.models.context import TaskContext
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.losses import RetrievalTargets, text_ids
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, XDetDataSample

from .base import TaskAdapter


@TASKS.register_module()
class RetrievalTask(TaskAdapter):
    """Image-text retrieval (paper section 3.3, docs/model.md, 7).

    An image has two unit vectors, the class embedding of the image query and the projected mean of the backbone's last
    map; a text has one. Their score is the weighted sum of both cosines.

    Args:
        backbone_channels (int): Channels of the backbone's last map.
        embed_dims (int): Width C of text embeddings.
        decoder_weight (float): Weight of the decoder's cosine, from 0 to 1; the backbone's has the rest.
        loss (dict, optional): Config of the criterion; None for a model that is only used, not trained.
    """

    names = ('retrieval',)
    targets = 'captions'

    def __init__(
        self,
        backbone_channels: int = 768,
        embed_dims: int = 512,
        decoder_weight: float = 0.5,
        loss: dict | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= decoder_weight <= 1:
            raise ValueError(f'RetrievalTask: decoder_weight is {decoder_weight}; accepted are numbers from 0 to 1')
        self.backbone_proj = nn.Parameter(torch.empty(backbone_channels, embed_dims))
        nn.init.trunc_normal_(self.backbone_proj, std=0.02)
        self.decoder_weight = decoder_weight
        self.criterion = MODELS.build(loss) if loss is not None else None

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has a ``caption`` (which may be empty) and the adapter a criterion."""
        return self.criterion is not None and 'caption' in sample.metainfo

    def training_texts(self, context: TaskContext) -> list[str]:
        """Captions, and the empty text."""
        return [sample.metainfo.get('caption') or '' for sample in context.samples]

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Contrastive losses of the images that have a caption; see the criterion."""
        assert self.criterion is not None
        captions = [sample.metainfo.get('caption') or '' for sample in context.samples]
        rows = [row for row, caption in enumerate(captions) if caption]
        encoded = context.encode(captions)
        targets = RetrievalTargets(
            encoded.pooled[rows],
            encoded.tokens[rows],
            encoded.valid[rows],
            text_ids([captions[row] for row in rows]).to(encoded.pooled.device),
        )
        return self.criterion(
            [layer.rows(layer.class_embed, IMAGE)[rows, 0] for layer in outputs.layers],
            [layer.rows(layer.class_embed, OBJECT)[rows] for layer in outputs.layers],
            self.backbone_embedding(context)[rows],
            targets,
            context.text.logit_scale,
        )

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_embedding`` ``[2, C]`` (decoder, backbone), and, when there are texts to compare, their
        ``pred_text_embeddings`` ``[m, C]`` and ``pred_text_scores`` ``[m]``; all embeddings have unit length.
        """
        layer = context.outputs.last
        halves = layer.rows(layer.class_embed, IMAGE)[:, 0], self.backbone_embedding(context)
        embeddings = _unit(torch.stack(halves, dim=1))
        for sample, embedding in zip(context.samples, embeddings, strict=True):
            sample.pred_embedding = embedding
            if asked := sample.prompts.texts:
                texts = _unit(context.encode(asked).pooled)
                sample.pred_text_embeddings = texts
                sample.pred_text_scores = self.scores(embedding[None], texts)[0]

    def scores(self, images: Tensor, texts: Tensor) -> Tensor:
        """Scores ``[n, m]`` of images ``[n, 2, C]`` and texts ``[m, C]``, all of unit length."""
        weights = images.new_tensor([self.decoder_weight, 1 - self.decoder_weight])
        with torch.autocast(images.device.type, enabled=False):
            return (weights[:, None] * images).sum(dim=1) @ texts.T

    def backbone_embedding(self, context: TaskContext) -> Tensor:
        """Projected mean of the backbone's last map (padding included, as in the official model): ``[B, C]``."""
        return context.features.backbone[-1].mean(dim=(-2, -1)) @ self.backbone_proj


def _unit(embeddings: Tensor) -> Tensor:
    """Rows of unit length; retrieval divides by the plain norm."""
    return embeddings.float() / embeddings.float().norm(dim=-1, keepdim=True)
