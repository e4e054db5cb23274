"""Our tensors for the recorded cases of the language tasks, computed by the task adapters' own parts."""

from __future__ import annotations

import torch
from parity.cases import Case
from parity.model import preprocess, sample_of
from torch import Tensor

from xdet.models import postprocess
from xdet.models.context import LatentPass, TaskContext
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.similarity import cosine_logits, normalize
from xdet.models.text import START_TOKEN
from xdet.models.xdecoder import XDecoder
from xdet.structures import Vocabulary
from xdet.tasks.captioning import CaptionWriter
from xdet.tasks.generation import GenerationSettings
from xdet.tasks.referring import phrase_groups


def context_of(model: XDecoder, case: Case) -> TaskContext:
    """The case's images, encoded as one batch, ready for any task."""
    images = [torch.from_numpy(image) for image in case.inputs()]
    features = model.encode(preprocess(model, images, joint=True))
    sizes = case.sizes() or [None] * len(images)
    samples = [sample_of(image, size) for image, size in zip(images, sizes, strict=True)]
    return TaskContext(LatentPass(model.decoder, features), samples, model.text_encoder, model.texts)


@torch.no_grad()
def task_tensors(case: Case, model: XDecoder) -> dict[str, Tensor]:
    """Our tensor for every recorded one of a case of phrases, captions, retrieval or classification."""
    makers = dict(ground=_phrases, caption=_caption, retrieval=_retrieval, region=_region, classify=_classes)
    return makers[case.spec['kind']](context_of(model, case), case, model)


def _phrases(context: TaskContext, case: Case, model: XDecoder) -> dict[str, Tensor]:
    phrases = case.json['phrases']
    outputs = model.decoder(context.features, [*context.latents, *phrase_groups(context, [phrases])])
    layer, pooled = outputs.last, context.encode(phrases).pooled
    similarity = cosine_logits(
        layer.rows(layer.class_embed, 'phrase')[0], normalize(pooled), model.text_encoder.logit_scale
    )
    sample = context.samples[0]
    masks = postprocess.mask_logits(
        layer.rows(layer.mask_embed, 'phrase')[0, similarity.argmax(0)],
        outputs.mask_features[0],
        sample.img_shape,
        sample.ori_shape,
    )
    return dict(phrase_emb=pooled, similarity=similarity, grounding_mask=masks)


def _caption(context: TaskContext, case: Case, model: XDecoder) -> dict[str, Tensor]:
    """States and best logits of every step, fed with the recorded tokens so that steps are comparable."""
    regions = None
    if 'captioning_mask' in case.tensors:  # True is forbidden
        regions = torch.from_numpy(~case.arrays['captioning_mask'].astype(bool))[None]
    task = model.tasks['captioning']
    writer = CaptionWriter(task, [context], GenerationSettings(max_tokens=50), 1, regions)
    states, logits = [], []
    write = writer._queries.step

    def remember(content: Tensor, position: Tensor) -> Tensor:
        states.append(write(content, position))
        return states[-1]

    writer._queries.step = remember
    for token in [START_TOKEN, *case.arrays['tokens'][1:50].tolist()]:
        logits.append(writer.step(torch.tensor([token])))
    best = torch.cat(logits).topk(5).values
    return {'step_embedding': torch.cat(states, 1)[0] @ task.token_proj, 'step_top5_logits': best}


def _retrieval(context: TaskContext, case: Case, model: XDecoder) -> dict[str, Tensor]:
    layer = context.outputs.last
    texts = context.encode([text for captions in case.json['captions'] for text in captions]).pooled
    decoder = layer.rows(layer.class_embed, IMAGE)[:, 0]
    backbone = model.tasks['retrieval'].backbone_embedding(context)
    by_decoder, by_backbone = (
        torch.cosine_similarity(half[:, None], texts[None], dim=-1) for half in (decoder, backbone)
    )
    return dict(
        pred_captions=layer.rows(layer.class_embed, OBJECT, IMAGE),
        text_embeds=texts,
        image_embeds_backbone=backbone,
        scores_decoder=by_decoder,
        scores_backbone=by_backbone,
        scores=(by_decoder + by_backbone) / 2,
    )


def _region(context: TaskContext, case: Case, model: XDecoder) -> dict[str, Tensor]:
    layer = context.outputs.last
    embeddings = normalize(layer.rows(layer.class_embed, IMAGE)[:, 0])
    text = model.vocabulary(Vocabulary(tuple(case.json['phrases']), (True,)), prompt=False)[:1]
    logits = cosine_logits(embeddings, text, model.text_encoder.logit_scale)
    return dict(image_emb=embeddings, text_emb=text, logits=logits, prob=logits.softmax(0))


def _classes(context: TaskContext, case: Case, model: XDecoder) -> dict[str, Tensor]:
    layer = context.outputs.last
    text = model.vocabulary.encode(case.json['text'][0]['prompts'])
    embeddings = layer.rows(layer.class_embed, IMAGE)[:, 0]
    return dict(text_emb=text, pred_class=cosine_logits(embeddings, text, model.text_encoder.logit_scale))
