"""Self-critical training: a captioning task that learns from how good its own captions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xdet.evaluation.captions.metrics import words
from xdet.evaluation.captions.scores import DocumentFrequencies, cider_d_scores
from xdet.io.schema import number, shown
from xdet.models.context import LatentPass, TaskContext
from xdet.models.numerics.precision import at_least_single
from xdet.models.text.tokenizer import decode
from xdet.registry import TASKS
from xdet.structures import DecoderOutput, QueryGroup
from xdet.structures.generation import END_TOKEN, START_TOKEN, GenerationSettings
from xdet.tasks.captioning import CaptioningTask, CaptionWriter
from xdet.tasks.generation import NextToken

BASELINES = ('mean', 'greedy')
_END = '<end>'  # a word of texts that were ended, so that stopping early has a price
_BEST = 10.0  # CIDEr-D of a text that is the reference


@dataclass(frozen=True)
class Drawn:
    """Captions that the model has written in a training step.

    Attributes:
        ids (Tensor): int64 ``[B, S, L]``, beginning with the start token; 0 behind the end.
        valid (Tensor): Bool ``[B, S, L]``, up to and including the end token.
        advantage (Tensor): ``[B, S]`` how much better they are than was to be expected; 0 for images without caption.
        reward (Tensor): Mean of their scores, from 0 to 1.
    """

    ids: Tensor
    valid: Tensor
    advantage: Tensor
    reward: Tensor


@TASKS.register_module()
class SelfCriticalCaptioning(CaptioningTask):
    """Captioning that also learns from captions of its own (self-critical sequence training, arXiv 1612.00563).

    In every step captions are drawn from the model as it is, and scored by CIDEr-D against the reference. Those that
    are better than the baseline become more probable, the others less: ``loss_reward``. Cross entropy with the
    reference (``loss``) is trained beside it. Parameters and predictions are those of :class:`CaptioningTask`, so
    weights fit both.

    N-grams are weighted by how many of the references seen so far in this run have them; a resumed run counts anew.
    Texts about regions learn from cross entropy alone.

    Args:
        samples (int): Captions drawn for every image.
        baseline (str): What was to be expected: ``'mean'``, the mean score of the other captions drawn for the image,
            or ``'greedy'``, the score of the caption that takes the most probable token at every place.
        reward_weight (float): Weight of the loss; scores are from 0 to 1.
        drawn_tokens (int): Most tokens of a drawn caption.
        loss (dict): Config of the criterion of cross entropy.
        kwargs: Other arguments of :class:`CaptioningTask`.

    Raises:
        ValueError: A setting is impossible.
    """

    def __init__(
        self,
        samples: int = 4,
        baseline: str = 'mean',
        reward_weight: float = 1.0,
        drawn_tokens: int = 50,
        *,
        loss: dict,
        **kwargs: Any,
    ) -> None:
        super().__init__(loss=loss, **kwargs)
        if baseline not in BASELINES:
            accepted = ' and '.join(map(repr, BASELINES))
            raise ValueError(f'SelfCriticalCaptioning: baseline is {shown(baseline)}; accepted are {accepted}')
        longest = self.position_embed.num_embeddings - 1
        self.baseline = baseline
        self.samples = number('SelfCriticalCaptioning: samples', samples, int, 2 if baseline == 'mean' else 1)
        self.drawn_tokens = number('SelfCriticalCaptioning: drawn_tokens', drawn_tokens, int, 1, longest)
        self.reward_weight = number('SelfCriticalCaptioning: reward_weight', reward_weight, float, 0)
        self._frequencies = DocumentFrequencies()
        self._drawn: Drawn | None = None  # between `queries` and `loss` of a step

    def queries(self, context: TaskContext) -> list[QueryGroup]:
        """Those of the references, and of every drawn caption."""
        groups, self._drawn = super().queries(context), None
        if any(sample.metainfo.get('caption') for sample in context.samples):
            self._drawn = self._draw(context)
            count, length = self._drawn.ids.shape[1:]
            tokens = context.text(self._drawn.ids.view(-1, length)).tokens.unflatten(0, (-1, count))
            groups += [self.token_queries(_name(place), tokens[:, place]) for place in range(count)]
        return groups

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """As :class:`CaptioningTask`; also ``loss_reward``, and the mean score ``caption_reward`` for the log."""
        losses = super().loss(context, outputs)
        drawn, self._drawn = self._drawn, None
        if drawn is None:
            return losses
        names = map(_name, range(drawn.ids.shape[1]))
        states = torch.stack([outputs.last.rows(outputs.last.state, name) for name in names], 1)
        loss = self_critical_loss(states @ self.token_proj, context.text.token_embedding.weight, drawn)
        losses |= dict(loss_reward=self.reward_weight * loss, caption_reward=drawn.reward)
        return losses

    @torch.no_grad()
    def _draw(self, context: TaskContext) -> Drawn:
        """Captions of all images of the batch, with their scores."""
        greedy = self.baseline == 'greedy'
        rows = self.samples + greedy
        plain = replace(context, latent_pass=LatentPass(context.decoder, context.features))
        settings = GenerationSettings(max_tokens=self.drawn_tokens, top_p=1.0, num_texts=rows)
        writer = CaptionWriter(self, [plain], settings, 1, None)
        chosen = torch.arange(len(context.samples) * rows, device=self.token_proj.device) % rows
        ids, valid = (
            part.unflatten(0, (-1, rows)) for part in draw(writer, (chosen == self.samples) & greedy, self.drawn_tokens)
        )
        captions = [sample.metainfo.get('caption') or '' for sample in context.samples]
        self._frequencies.add([[[*words(caption), _END]] for caption in captions if caption])
        scores = torch.tensor(
            [self._scores(own, caption) for own, caption in zip(ids.tolist(), captions, strict=True)], device=ids.device
        )
        advantage = advantages(scores, greedy)
        there = scores.new_tensor([bool(caption) for caption in captions])
        drawn = scores[:, : self.samples]
        reward = (drawn * there[:, None]).sum() / (there.sum() * self.samples)
        kept = slice(None, self.samples)
        return Drawn(ids[:, kept], valid[:, kept], advantage * there[:, None], reward)

    def _scores(self, drawn: Sequence[Sequence[int]], caption: str) -> list[float]:
        """CIDEr-D of drawn captions of an image, from 0 to 1."""
        ends = [[_END] if END_TOKEN in ids else [] for ids in drawn]
        texts = [[*words(decode(ids)), *end] for ids, end in zip(drawn, ends, strict=True)]
        found = cider_d_scores(texts, [[[*words(caption), _END]]] * len(texts), self._frequencies)
        return [score / _BEST for score in found]


def draw(model: NextToken, greedy: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Texts drawn token by token from the probabilities of a model, by torch's global generator.

    Args:
        model (NextToken): Has R rows.
        greedy (Tensor): Bool ``[R]``; rows that take the most probable tokens instead.
        length (int): Most tokens of a text.

    Returns:
        tuple[Tensor, Tensor]: int64 ``[R, L + 1]`` tokens with the start token, 0 behind the end; and bool, which of
        them belong to the text, the end token included.
    """
    ids = torch.full(greedy.shape, START_TOKEN, device=greedy.device)
    going = torch.ones_like(greedy)
    tokens, valid = [ids], [going]
    for _ in range(length):
        logits = model.step(ids).float()
        ids = torch.where(greedy, logits.argmax(1), torch.multinomial(logits.softmax(1), 1)[:, 0])
        ids = torch.where(going, ids, 0)
        tokens.append(ids)
        valid.append(going)
        going = going & (ids != END_TOKEN)
        if not going.any():
            break
    return torch.stack(tokens, 1), torch.stack(valid, 1)


def advantages(scores: Tensor, greedy: bool) -> Tensor:
    """How much better texts are than was to be expected: ``[B, S]``.

    Args:
        scores (Tensor): ``[B, S]``, or ``[B, S + 1]`` with the greedy text at the end.
        greedy (bool): Whether that is the baseline; else it is the mean of the other texts of an image.
    """
    if greedy:
        return scores[:, :-1] - scores[:, -1:]
    others = (scores.sum(1, keepdim=True) - scores) / (scores.shape[1] - 1)
    return scores - others


def self_critical_loss(embeds: Tensor, table: Tensor, drawn: Drawn) -> Tensor:
    """Negative log-probabilities of the drawn tokens times the advantage of their text, averaged over tokens.

    Args:
        embeds (Tensor): ``[B, S, L, C]``; place i predicts token i + 1.
        table (Tensor): ``[V, C]`` embeddings of tokens.
        drawn (Drawn): The texts.
    """
    scored = drawn.valid[..., 1:] & (drawn.advantage != 0)[..., None]
    with torch.autocast(table.device.type, enabled=False):
        logits = at_least_single(embeds[..., :-1, :][scored]) @ at_least_single(table).T
        costs = F.cross_entropy(logits, drawn.ids[..., 1:][scored], reduction='none')
        advantage = drawn.advantage[..., None].expand(scored.shape)[scored]
        return (costs * advantage).sum() / drawn.valid[..., 1:].sum()


def _name(place: int) -> str:
    """Of the group of a drawn caption."""
    return f'drawn{place}'
