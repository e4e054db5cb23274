"""Embeds vocabularies: class names to the text embeddings that queries are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from mmengine.dist import is_main_process
from torch import Tensor

from xdet.io.terminal import progress
from xdet.models.similarity import normalize
from xdet.structures import BACKGROUND, TEMPLATES, Vocabulary, clean_name, training_prompt

from .text_encoder import CausalTextEncoder

_MAX_TOKENS = 8192  # tokens per pass; bounds the memory (12 layers of width 512: about 0.6 GB in fp32)
_MIN_TOKENS = 512  # from this many on, a pass is efficient and needs no longer prompts to fill it up
_NAMES_PER_GROUP = 32  # names sorted and encoded together, and one step of the progress bar
_PROGRESS_FROM = 200  # new names from which on a progress bar is shown
_FORMS = {True: TEMPLATES, False: ('{}',)}  # what a name is put into, with and without prompting

Name = tuple[str, bool]
"""A name as it is put into the forms, and whether these are the templates."""


class ClassNameEncoder:
    """Text embeddings of class names, remembering nothing (:class:`~xdet.models.text.cache.TextCache` does).

    Args:
        text_encoder (CausalTextEncoder): The encoder.
        share_from (int): Names embedded together from which on the tokens before the name ("a photo of a") are encoded
            once for all. For fewer, the many small passes this needs cost more than they save.
    """

    def __init__(self, text_encoder: CausalTextEncoder, share_from: int = 4) -> None:
        self.text_encoder = text_encoder
        self.share_from = share_from

    def sample(self, vocabulary: Vocabulary, prompt: bool = True) -> Tensor:
        """Embeddings for training, with gradient: one random template per name, drawn from torch's global generator.

        Of a class with several texts the first one is used.

        Args:
            vocabulary (Vocabulary): Class names.
            prompt (bool): Put each (cleaned) name into a template; otherwise encode the names as they are.

        Returns:
            Tensor: ``[K + 1, C]`` embeddings of unit length; the last one is the background's.
        """
        texts = [*(of_class[0] for of_class in vocabulary.texts), BACKGROUND]
        return self.encode(random_prompts(texts) if prompt else texts)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeddings ``[n, C]`` of unit length of whole texts, with gradient; equal texts are encoded once."""
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        embeddings = normalize(self.text_encoder(list(rows)).pooled)
        return embeddings[[rows[text] for text in texts]]

    def by_template(self, names: Sequence[str]) -> Tensor:
        """Embeddings ``[n, 81, C]`` of unit length of names in every template, without gradient."""
        forms = [(form, clean_name(name)) for name in names for form in TEMPLATES]
        with torch.no_grad():
            return normalize(self._pooled(forms, share=len(names) >= self.share_from)).unflatten(0, (len(names), -1))

    @property
    def _device(self) -> torch.device:
        return self.text_encoder.token_embedding.weight.device

    def _embed(self, keys: Sequence[Name]) -> dict[Name, Tensor]:
        """Embeddings ``[C]`` of names not yet known."""
        groups: Iterable = [keys[start : start + _NAMES_PER_GROUP] for start in range(0, len(keys), _NAMES_PER_GROUP)]
        if len(keys) > _PROGRESS_FROM and is_main_process():
            groups = progress(groups, f'Embedding {len(keys)} class names')
        embedded = {}
        # Ordinary tensors even inside a caller's inference mode: they are remembered and may be used in training.
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            for group in groups:
                forms = [(form, name) for name, prompt in group for form in _FORMS[prompt]]
                pooled = normalize(self._pooled(forms, share=len(group) >= self.share_from))
                for key, parts in zip(group, pooled.split([len(_FORMS[prompt]) for _, prompt in group]), strict=True):
                    mean = parts.mean(dim=0)
                    embedded[key] = mean / mean.norm()
        return embedded

    def _pooled(self, forms: Sequence[tuple[str, str]], share: bool) -> Tensor:
        """Un-normalised embeddings ``[n, C]`` of prompts, given as templates and the names to put in."""
        ids = self.text_encoder.tokenize([form.format(name) for form, name in forms])
        lengths = ids.argmax(dim=1) + 1
        shared = torch.zeros_like(lengths)
        if share:
            # Where the name begins, the end token stands in the tokens of what precedes it.
            begins = self.text_encoder.tokenize([form.split('{}')[0] for form, _ in forms]).argmax(dim=1)
            shared = begins.minimum(lengths - 1)
        order = (shared * self.text_encoder.context_length + lengths).argsort(stable=True)
        chunks = [
            self._pooled_chunk(ids[rows], lengths[rows], int(shared[rows[0]]))
            for rows in (order[rows] for rows in _chunks(shared[order].tolist(), lengths[order].tolist()))
        ]
        return torch.cat(chunks)[order.argsort()]

    def _pooled_chunk(self, ids: Tensor, lengths: Tensor, shared: int) -> Tensor:
        """Un-normalised embeddings ``[n, C]``; prompts equal in their first ``shared`` tokens get these encoded once.

        The result does not depend on ``shared``: which prompts do begin equally is read from their tokens.
        """
        longest = int(lengths.max())
        ids = ids.to(self._device)
        stream = self.text_encoder.stream(len(ids), longest)
        if shared:
            beginnings, rows = ids[:, :shared].unique(dim=0, return_inverse=True)
            stream = self.text_encoder.stream(len(beginnings), longest)
            stream.step(beginnings)
            stream.reorder(rows)
        tokens = stream.step(ids[:, shared:longest])
        return tokens[torch.arange(len(ids)), lengths - shared - 1]


def random_prompts(names: Sequence[str]) -> list[str]:
    """Every (cleaned) name in a template drawn from torch's global generator, as names are given in training."""
    choices = torch.randint(len(TEMPLATES), (len(names),)).tolist()
    return [training_prompt(clean_name(name), TEMPLATES[i]) for name, i in zip(names, choices, strict=True)]


def class_means(embeddings: Tensor, counts: Sequence[int]) -> Tensor:
    """Means of unit length over ``counts`` rows each."""
    means = torch.stack([part.mean(dim=0) for part in embeddings.split(list(counts))])
    return means / means.norm(dim=1, keepdim=True)


def _chunks(shared: Sequence[int], lengths: Sequence[int]) -> Iterator[slice]:
    """Slices, for one pass each, of prompts sorted by their number of shared tokens and then by length.

    All prompts of a slice share equally many tokens. It holds few enough tokens, padded to the slice's longest, and
    stops before a longer prompt once it is large enough.
    """
    start = 0
    for stop in range(1, len(lengths)):
        tokens, longer = (stop - start) * lengths[stop - 1], lengths[stop] > lengths[stop - 1]
        full = (stop + 1 - start) * lengths[stop] > _MAX_TOKENS or (longer and tokens >= _MIN_TOKENS)
        if full or shared[stop] != shared[start]:
            yield slice(start, stop)
            start = stop
    yield slice(start, len(lengths))
