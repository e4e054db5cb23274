"""Referring segmentation: a mask for every phrase."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xdet.models import postprocess
from xdet.models.context import TaskContext
from xdet.models.losses import GroundingTargets
from xdet.models.similarity import cosines
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, QueryGroup, XDetDataSample

from .base import TaskAdapter, image_names, input_size, texts_of

PHRASE, TEXT = 'phrase', 'text'


@TASKS.register_module()
class ReferringTask(TaskAdapter):
    """Referring segmentation (paper section 3.3, docs/model.md, 7).

    Copies of the object queries, the phrase queries, exchange information with the tokens of phrases in self-attention;
    the phrase query whose class embedding is closest to the phrase makes the mask. Latent queries take no part, so
    prediction does without them.

    Args:
        mode (str): At prediction, ``'independent'`` decodes every phrase on its own (all in one pass), so that a mask
            depends on nothing but its phrase; ``'joint'`` is the official way, in which all phrases of an image share
            one set of phrase queries and influence each other. With one phrase per image both are the same. Training
            is always joint, as published.
        phrases_per_pass (int): Independent mode: phrases of an image that share a pass; bounds memory, not results.
        token_padding (str): In training, whether token positions that only pad shorter texts are ``'masked'`` or, as
            in the official code, ``'visible'`` zeros.
        loss (dict, optional): Config of the criterion; None for a model that is only used, not trained.
    """

    names = ('refseg',)
    targets = 'phrases'

    def __init__(
        self,
        mode: str = 'independent',
        phrases_per_pass: int = 8,
        token_padding: str = 'masked',
        loss: dict | None = None,
    ) -> None:
        super().__init__()
        if mode not in ('independent', 'joint'):
            raise ValueError(f"ReferringTask: mode is {mode!r}; accepted are 'independent' and 'joint'")
        if token_padding not in ('masked', 'visible'):
            raise ValueError(f"ReferringTask: token_padding is {token_padding!r}; accepted are 'masked' and 'visible'")
        if phrases_per_pass < 1:
            raise ValueError(f'ReferringTask: phrases_per_pass is {phrases_per_pass}; accepted are numbers from 1')
        self.mode = mode
        self.phrases_per_pass = phrases_per_pass
        self.token_padding = token_padding
        self.criterion = MODELS.build(loss) if loss is not None else None

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has ``gt_phrases`` and the adapter a criterion."""
        return self.criterion is not None and 'gt_phrases' in sample

    def training_texts(self, context: TaskContext) -> list[str]:
        """Phrases."""
        return [text for sample in context.samples for text in _training_texts(sample)]

    def queries(self, context: TaskContext) -> list[QueryGroup]:
        """One set of phrase queries per image for all its training phrases; equal phrases enter once."""
        phrases = [list(dict.fromkeys(_training_texts(sample))) for sample in context.samples]
        return phrase_groups(context, phrases, self.token_padding == 'masked')

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Grounding losses; see the criterion.

        A sample's meta information ``phrase_mode`` says whether its phrases are referring expressions (``'text'``, the
        default) or class names (``'class'``), which weigh less.
        """
        assert self.criterion is not None
        texts = [_training_texts(sample) for sample in context.samples]
        every = [text for own in texts for text in own]
        scale = context.text.logit_scale
        pooled = context.encode(every).pooled if every else scale.new_zeros((0, outputs.mask_features.shape[1]))
        empty = torch.zeros((0, 1, 1), dtype=torch.bool, device=scale.device)
        targets = GroundingTargets(
            texts=pooled.split([len(own) for own in texts]),
            identities=texts,
            masks=[sample.gt_phrases.masks if 'gt_phrases' in sample else empty for sample in context.samples],
            modes=[sample.metainfo.get('phrase_mode', 'text') for sample in context.samples],
            input_size=input_size(outputs),
            names=image_names(context),
        )
        return self.criterion(
            [layer.rows(layer.mask_embed, PHRASE) for layer in outputs.layers],
            [layer.rows(layer.class_embed, PHRASE) for layer in outputs.layers],
            outputs.mask_features,
            targets,
            scale,
        )

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_phrases`` with one row per phrase, in order."""
        phrases = [phrases_of(sample) for sample in context.samples]
        found: list[list[InstanceData]] = [[] for _ in phrases]
        if self.mode == 'joint':
            self._decode(context, [[texts] for texts in phrases], found)
        else:
            starts = range(0, max(map(len, phrases)), self.phrases_per_pass)
            if len(starts) > 1:
                context.latent_pass.image_keys  # noqa: B018  # made once for all passes
            for start in starts:
                chunk = [texts[start : start + self.phrases_per_pass] for texts in phrases]
                self._decode(context, [[[text] for text in texts] for texts in chunk], found)
        for sample, results in zip(context.samples, found, strict=True):
            sample.pred_phrases = InstanceData.cat(results)

    def _decode(
        self, context: TaskContext, sets: Sequence[Sequence[Sequence[str]]], found: list[list[InstanceData]]
    ) -> None:
        """One pass. ``sets[b]`` are the sets of phrases of image b; each has a row of its own in the decoder."""
        images = [image for image, own in enumerate(sets) if own]
        part, count = context.select(images), max(map(len, sets))
        texts = [sets[image][row] if row < len(sets[image]) else [] for image in images for row in range(count)]
        outputs = part.latent_pass.decode(phrase_groups(part, texts), count)
        for index, image in enumerate(images):
            for row, asked in enumerate(sets[image]):
                found[image].append(self._read(part, outputs, index, index * count + row, asked))

    def _read(
        self, context: TaskContext, outputs: DecoderOutput, index: int, row: int, texts: Sequence[str]
    ) -> InstanceData:
        """Masks ``[n, H, W]`` of the phrases of one set, which are row ``row``, about image ``index``."""
        layer, sample = outputs.last, context.samples[index]
        embeddings = layer.rows(layer.class_embed, PHRASE)[row]
        best, queries = cosines(embeddings, context.encode(texts).pooled).max(dim=0)
        logits = postprocess.mask_logits(
            layer.rows(layer.mask_embed, PHRASE)[row, queries],
            outputs.mask_features[index],
            sample.img_shape[:2],
            tuple(sample.ori_shape[:2]),
        )
        limits = sample.prompts.thresholds
        masks = logits > limits.mask_logit
        scores = postprocess.mask_scores(logits, masks)
        if limits.score is not None:
            masks = masks & (scores >= scores.new_tensor(limits.scores(texts, 0.0)))[:, None, None]
        if limits.presence is not None:
            masks = masks & (presence(best) > limits.presence)[:, None, None]
        return InstanceData(
            masks=masks,
            scores=scores,
            similarities=best,
            bboxes=postprocess.mask_boxes(masks),
        )


def presence(similarities: Tensor) -> Tensor:
    """Whether what a phrase means is in an image at all, from 0 to 1, from the cosine of phrase and best query."""
    return ((1 + similarities) / 2).clamp(0, 1)


def phrase_groups(
    context: TaskContext, phrases: Sequence[Sequence[str]], mask_padding: bool = True
) -> list[QueryGroup]:
    """Phrase queries and the tokens of the phrases they see, one set per row (in training, per image).

    Args:
        context (TaskContext): The forward pass.
        phrases (Sequence[Sequence[str]]): Phrases of every row, may be empty; all tokens of a row follow each other
            without separator.
        mask_padding (bool): Whether shorter rows are padded with tokens that nobody sees, or with visible zeros.

    Returns:
        list[QueryGroup]: The groups ``phrase`` and ``text``.
    """
    sees = frozenset({PHRASE, TEXT})
    queries = context.decoder.object_copies(len(phrases), PHRASE, sees)
    tokens = [_tokens(context, texts, queries.content) for texts in phrases]
    position = pad_sequence(tokens, batch_first=True)
    valid = None
    if mask_padding:
        lengths = torch.tensor([len(row) for row in tokens], device=position.device)
        valid = torch.arange(position.shape[1], device=position.device) < lengths[:, None]
    return [
        queries,
        # The content starts as a constant and is what layers change; gradients reach the text through the position.
        QueryGroup(TEXT, position.detach(), position, sees, image_attention='no', valid=valid),
    ]


def _tokens(context: TaskContext, texts: Sequence[str], like: Tensor) -> Tensor:
    """Tokens ``[L, C]`` of all texts, one after the other."""
    if not texts:
        return like.new_zeros((0, like.shape[-1]))
    encoded = context.encode(texts)
    return encoded.tokens[encoded.valid]


def phrases_of(sample: XDetDataSample) -> list[str]:
    """What the sample asks to find.

    Raises:
        ValueError: Nothing, or an empty phrase.
    """
    return texts_of(sample, 'phrases', 'referring segmentation')


def _training_texts(sample: XDetDataSample) -> list[str]:
    return list(sample.gt_phrases.texts) if 'gt_phrases' in sample else []
