"""Graphs that read and write texts about an image: captions, answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models import XDecoder
from xdet.structures import KeysValues
from xdet.tasks import CaptioningTask, VQATask

from .encoding import TextEncoder, causal


class _Stream(nn.Module):
    """Queries that see the latent queries, their own past and the pixels of their region."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.decoder = model.decoder

    def stream(
        self,
        content: Tensor,
        position: Tensor,
        latent_keys: Tensor,
        past: Tensor | None,
        image_keys: tuple[Tensor, ...],
        visible: tuple[Tensor, ...] | None,
    ) -> tuple[Tensor, Tensor]:
        """States ``[R, n, C]``, and keys and values ``[layers, 2, R, heads, P + n, d]`` of the rows themselves."""
        rows, length = content.shape[:2]
        before = past.shape[4] if past is not None else 0
        mask = causal(length, latent_keys.shape[3] + before, content.device)
        x, present = content, []
        for number, layer in enumerate(self.decoder.layers):
            seen = visible[number % len(visible)][:, None, None] if visible is not None else None
            keys = KeysValues(image_keys[number][:1], image_keys[number][1:])
            x = layer.attend_image(x, position, keys, seen)
            own = list(layer.self_attn.project(x + position, x))
            if past is not None:
                own = [torch.cat((early, new), dim=2) for early, new in zip(past[number], own, strict=True)]
            every = [
                torch.cat((latent[None].expand(rows, -1, -1, -1), new), dim=2)
                for latent, new in zip(latent_keys[number], own, strict=True)
            ]
            x = layer.feed_forward(layer.attend_queries(x, position, KeysValues(*every), mask))
            present.append(torch.stack(own))
        return self.decoder.decoder_norm(x), torch.stack(present)


class CaptionStep(_Stream):
    """The next token of every row: greedy search, beams and sampling are up to the caller."""

    def __init__(self, model: XDecoder, task: CaptioningTask) -> None:
        super().__init__(model)
        self.text, self.task = TextEncoder(model), task

    def forward(
        self,
        ids: Tensor,
        text_past: Tensor,
        past: Tensor,
        latent_keys: Tensor,
        visible: tuple[Tensor, ...],
        image_keys: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """The latest token ``[R, 1]`` of every row to the ``logits`` ``[R, V]`` of the next one, and both kinds of
        keys and values with those of this token. ``visible`` are the pixels ``[R, h * w]`` of every row's region, for
        the strides that the decoder attends, in turn."""
        tokens, text_present = self.text.step(ids, text_past)
        place = text_past.shape[4]
        position = tokens + self.task.position_embed.weight[place : place + 1]
        states, present = self.stream(tokens, position, latent_keys, past, image_keys, visible)
        logits = F.linear(states[:, 0] @ self.task.token_proj, self.text.encoder.token_embedding.weight)
        return logits, text_present, present


class Answers(_Stream):
    """Visual question answering: the probability of every known answer."""

    def __init__(self, model: XDecoder, task: VQATask) -> None:
        super().__init__(model)
        self.task = task

    def forward(self, tokens: Tensor, ends: Tensor, latent_keys: Tensor, image_keys: tuple[Tensor, ...]) -> Tensor:
        """Token features ``[R, n, C]`` of questions and where these end ``[R]``, to ``probabilities`` ``[R, A]``."""
        content = self.task._content(tokens)
        states, _ = self.stream(content, tokens, latent_keys, None, image_keys, None)
        states = states.gather(1, ends[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]
        return self.task.classifier(states).softmax(dim=-1)
