"""Embeds vocabularies: class names to the text embeddings that queries are compared with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import torch
from mmengine.dist import is_main_process
from rich.progress import track
from torch import Tensor

from xdet.models.similarity import normalize
from xdet.structures import BACKGROUND, Vocabulary

from .templates import TEMPLATES, clean_name, training_prompt
from .text_encoder import XDecoderTextEncoder

_MAX_TOKENS = 8192  # tokens per forward pass; bounds the memory (width 512: about 0.2 GB in fp32)
_NAMES_PER_GROUP = 32  # names sorted and encoded together, and one step of the progress bar
_PROGRESS_FROM = 200  # new names from which on a progress bar is shown
_FORMS = {True: TEMPLATES, False: ('{}',)}  # what a name is put into, with and without prompting


class VocabularyEmbedder:
    """Text embeddings of vocabularies, with a bounded memory of class names already embedded.

    What is remembered belongs to the text encoder's current weights, device and precision and is forgotten when they
    change. Weights changed through ``parameter.data`` go unnoticed: call :meth:`clear` then (the model does so whenever
    it is switched between training and evaluation).

    Args:
        text_encoder (XDecoderTextEncoder): The encoder.
        capacity (int): Most class names to remember; the least recently used are forgotten first.
    """

    def __init__(self, text_encoder: XDecoderTextEncoder, capacity: int = 20000) -> None:
        self.text_encoder = text_encoder
        self.capacity = capacity
        self._memory: OrderedDict[tuple[str, bool], Tensor] = OrderedDict()
        self._state: tuple | None = None

    def __call__(self, vocabulary: Vocabulary, prompt: bool = True) -> Tensor:
        """Embeddings for evaluation, without gradient.

        Args:
            vocabulary (Vocabulary): Class names.
            prompt (bool): Average each (cleaned) name over the 81 templates; otherwise encode the names as they are.

        Returns:
            Tensor: ``[K + 1, C]`` embeddings of unit length; the last one is the background's.
        """
        self._forget_if_changed()
        names = [*vocabulary.names, BACKGROUND]
        keys = [(clean_name(name) if prompt else name, prompt) for name in names]
        unique = dict.fromkeys(keys)
        found = {key: self._memory[key] for key in unique if key in self._memory}
        found |= self._embed([key for key in unique if key not in found])
        self._remember(found)
        return torch.stack([found[key] for key in keys])

    def sample(self, vocabulary: Vocabulary, prompt: bool = True) -> Tensor:
        """Embeddings for training, with gradient: one random template per name, drawn from torch's global generator.

        Args:
            vocabulary (Vocabulary): Class names.
            prompt (bool): Put each (cleaned) name into a template; otherwise encode the names as they are.

        Returns:
            Tensor: ``[K + 1, C]`` embeddings of unit length; the last one is the background's.
        """
        texts = [*vocabulary.names, BACKGROUND]
        if prompt:
            choices = torch.randint(len(TEMPLATES), (len(texts),)).tolist()
            texts = [
                training_prompt(clean_name(name), TEMPLATES[choice])
                for name, choice in zip(texts, choices, strict=True)
            ]
        return self.encode(texts)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeddings ``[n, C]`` of unit length of whole texts, with gradient; equal texts are encoded once."""
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        embeddings = normalize(self.text_encoder(list(rows)).pooled)
        return embeddings[[rows[text] for text in texts]]

    def clear(self) -> None:
        """Forget all names."""
        self._memory.clear()
        self._state = None

    def _embed(self, keys: Sequence[tuple[str, bool]]) -> dict[tuple[str, bool], Tensor]:
        """Embeddings ``[C]`` of names not yet known."""
        groups: Iterable = [keys[start : start + _NAMES_PER_GROUP] for start in range(0, len(keys), _NAMES_PER_GROUP)]
        if len(keys) > _PROGRESS_FROM and is_main_process():
            groups = track(groups, description=f'Embedding {len(keys)} class names')
        embedded = {}
        # Ordinary tensors even inside a caller's inference mode: they are remembered and may be used in training.
        with torch.inference_mode(False), torch.no_grad():
            for group in groups:
                prompts = [form.format(name) for name, prompt in group for form in _FORMS[prompt]]
                pooled = normalize(self._pooled(prompts)).split([len(_FORMS[prompt]) for _, prompt in group])
                for key, parts in zip(group, pooled, strict=True):
                    mean = parts.mean(dim=0)
                    embedded[key] = mean / mean.norm()
        return embedded

    def _pooled(self, prompts: Sequence[str]) -> Tensor:
        """Un-normalised embeddings ``[n, C]``, computed in chunks of prompts of similar length."""
        ids = self.text_encoder.tokenize(prompts)
        lengths, order = (ids.argmax(dim=1) + 1).sort(stable=True)
        chunks = [
            self.text_encoder(ids[order[rows], : int(lengths[rows][-1])]).pooled for rows in _chunks(lengths.tolist())
        ]
        return torch.cat(chunks)[order.argsort()]

    def _remember(self, embedded: dict[tuple[str, bool], Tensor]) -> None:
        for key, embedding in embedded.items():
            self._memory[key] = embedding
            self._memory.move_to_end(key)
        while len(self._memory) > self.capacity:
            self._memory.popitem(last=False)

    def _forget_if_changed(self) -> None:
        parameters = list(self.text_encoder.parameters())
        device = parameters[0].device
        autocast = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
        # Tensors made in inference mode carry no version counter.
        versions = tuple((p.data_ptr(), 0 if p.is_inference() else p._version, p.dtype) for p in parameters)
        state = (device, autocast, versions)
        if state != self._state:
            self.clear()
            self._state = state


def _chunks(lengths: Sequence[int]) -> Iterator[slice]:
    """Slices of ascending lengths that hold few enough tokens each, padded to the slice's longest."""
    start = 0
    for stop, length in enumerate(lengths):
        if stop > start and (stop + 1 - start) * length > _MAX_TOKENS:
            yield slice(start, stop)
            start = stop
    yield slice(start, len(lengths))
