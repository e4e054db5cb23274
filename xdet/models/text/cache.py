"""Remembers texts and class names, so that what is asked of many images is encoded once."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from xdet.structures import BACKGROUND, Vocabulary, clean_name

from .embedding_file import EmbeddingFile, EmbeddingFileError, read_embeddings, templates_fingerprint, write_embeddings
from .text_encoder import CausalTextEncoder, TextFeatures
from .vocabulary import ClassNameEncoder, Name, class_means

_TEXTS_PER_PASS = 256
_TABLES = 32  # vocabularies whose whole table is remembered

_K = TypeVar('_K', bound=Hashable)
_V = TypeVar('_V')


class EncodedText(NamedTuple):
    """Features of one text: ``tokens`` ``[L, C]`` at its real length, and ``pooled`` ``[C]``; not normalised."""

    tokens: Tensor
    pooled: Tensor


class TextCache(ClassNameEncoder):
    """Encodes texts and class names and remembers the latest of them across forward passes: in evaluation, and in
    training while nothing in the text encoder learns.

    What is remembered belongs to the text encoder's current weights and device and is forgotten when they change. A
    change through ``parameter.data`` is noticed by a sample of one value per parameter, which every swap of averaged
    weights changes; after an edit of single values, call :meth:`clear`. Class names read from a file stay as long as
    the weights are those that the file was made with.

    Args:
        text_encoder (CausalTextEncoder): The encoder.
        capacity (int): Most class names to remember, apart from those of files; the least recently used are forgotten
            first.
        share_from (int): See :class:`ClassNameEncoder`.
        max_texts (int): Most whole texts to remember, likewise.
    """

    def __init__(
        self, text_encoder: CausalTextEncoder, capacity: int = 20000, share_from: int = 4, max_texts: int = 1000
    ) -> None:
        super().__init__(text_encoder, share_from)
        self.capacity = capacity
        self.max_texts = max_texts
        self._memory: _Latest[Name, Tensor] = _Latest()
        self._tables: _Latest[tuple[Vocabulary, bool], Tensor] = _Latest()
        self._texts: _Latest[tuple[str, torch.dtype | None], EncodedText] = _Latest()
        self._loaded: dict[Name, Tensor] = {}
        self._fingerprint = ''  # of the weights that the loaded names were embedded with
        self._weights = _Weights(text_encoder)

    def whole(self, texts: Sequence[str], known: dict[str, EncodedText] | None = None) -> TextFeatures:
        """Features of whole texts.

        Args:
            texts (Sequence[str]): At least one.
            known (dict[str, EncodedText], optional): Texts encoded earlier in this forward pass, to which this call
                adds. Where the text encoder gets gradients, nothing else is remembered.

        Returns:
            TextFeatures: One row per text, with gradient when the text encoder has one.
        """
        found = {} if known is None else known
        new = [text for text in dict.fromkeys(texts) if text not in found]
        found.update(self._encode_texts(new) if self._learns else self._remembered_texts(new))
        tokens = [found[text].tokens for text in texts]
        lengths = torch.tensor([len(row) for row in tokens], device=tokens[0].device)
        padded = pad_sequence(tokens, batch_first=True)
        valid = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
        return TextFeatures(padded, torch.stack([found[text].pooled for text in texts]), valid)

    def classes(self, vocabulary: Vocabulary, prompt: bool = True) -> Tensor:
        """Embeddings for evaluation, without gradient and in the precision of the weights.

        Args:
            vocabulary (Vocabulary): Class names.
            prompt (bool): Average each (cleaned) name over the 81 templates; otherwise encode the names as they are.

        Returns:
            Tensor: ``[K + 1, C]`` embeddings of unit length, which others share; the last one is the background's. A
            class with several texts gets their mean, normalised again, as templates do.
        """
        self._forget_if_changed()
        table = self._tables.get((vocabulary, prompt))
        if table is None:
            table = self._table(vocabulary, prompt)
        self._tables.remember({(vocabulary, prompt): table}, _TABLES)
        return table

    __call__ = classes

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embeddings ``[n, C]`` of unit length of whole texts; with gradient where the text encoder learns."""
        if self._learns:
            return super().encode(texts)
        self._forget_if_changed()
        return self._names([(text, False) for text in texts])

    @property
    def _learns(self) -> bool:
        return torch.is_grad_enabled() and any(p.requires_grad for p in self._weights.parameters())

    def clear(self) -> None:
        """Forget all that was encoded; names of files are checked against the weights before their next use."""
        for memory in (self._memory, self._tables, self._texts):
            memory.clear()
        self._weights.state = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all names known for the current weights to a ``.safetensors`` file, whole or not at all.

        Raises:
            EmbeddingFileError: The file cannot be written, or there is nothing to write.
        """
        self._forget_if_changed()
        known = {**self._loaded, **self._memory}
        if not known:
            raise EmbeddingFileError(f"no class name was embedded yet that could be written to '{path}'")
        table = torch.stack(list(known.values()))
        names, prompted = [name for name, _ in known], [prompt for _, prompt in known]
        encoder = self.text_encoder.fingerprint()
        write_embeddings(path, EmbeddingFile(names, prompted, table, encoder, templates_fingerprint()))

    def load(self, path: str | os.PathLike[str]) -> int:
        """Read names from a file of :meth:`save`, so that only other names need to be embedded.

        Args:
            path (str | os.PathLike): The file.

        Returns:
            int: Number of names in the file.

        Raises:
            EmbeddingFileError: The file cannot be read, or it was made with other weights or templates.
        """
        self._forget_if_changed()
        content = read_embeddings(path)
        fingerprint = self.text_encoder.fingerprint()
        content.check(path, self.text_encoder.embed_dims, fingerprint)
        keys = zip(content.names, content.prompted, strict=True)
        self._loaded |= zip(keys, content.embeddings.to(self._device), strict=True)
        self._tables.clear()
        self._fingerprint = fingerprint
        return len(content.names)

    def learn(self, names: Mapping[str, Tensor]) -> None:
        """Know class names by embeddings ``[C]`` of unit length instead of by their text, as names of files are."""
        self._forget_if_changed()
        self._fingerprint = self.text_encoder.fingerprint()
        self._loaded |= {(clean_name(name), True): row.detach().to(self._device) for name, row in names.items()}
        self._tables.clear()

    def from_text(self, name: str) -> Tensor:
        """Embedding ``[C]`` of a class name by its text, also of one that is known by another embedding."""
        key = (clean_name(name), True)
        return self._embed([key])[key]

    def _table(self, vocabulary: Vocabulary, prompt: bool) -> Tensor:
        texts = [*vocabulary.texts, (BACKGROUND,)]
        table = self._names([(clean_name(text) if prompt else text, prompt) for of_class in texts for text in of_class])
        with torch.inference_mode(False), torch.no_grad():
            return table if len(table) == len(texts) else class_means(table, [len(of_class) for of_class in texts])

    def _names(self, keys: Sequence[Name]) -> Tensor:
        """Embeddings ``[n, C]`` of class names, of which new ones are remembered."""
        found = {key: self._loaded[key] for key in dict.fromkeys(keys) if key in self._loaded}
        used = {key: self._memory[key] for key in keys if key not in found and key in self._memory}
        used |= self._embed([key for key in dict.fromkeys(keys) if key not in found and key not in used])
        self._memory.remember(used, self.capacity)
        found |= used
        with torch.inference_mode(False), torch.no_grad():
            return torch.stack([found[key] for key in keys])

    def _remembered_texts(self, texts: Sequence[str]) -> dict[str, EncodedText]:
        self._forget_if_changed()
        device = self._device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        known = {text: self._texts[text, precision] for text in texts if (text, precision) in self._texts}
        new = [text for text in texts if text not in known]
        with torch.inference_mode(False), torch.no_grad():  # ordinary tensors, also inside a caller's inference mode
            for start in range(0, len(new), _TEXTS_PER_PASS):
                known |= self._encode_texts(new[start : start + _TEXTS_PER_PASS])
        self._texts.remember({(text, precision): encoded for text, encoded in known.items()}, self.max_texts)
        return known

    def _encode_texts(self, texts: Sequence[str]) -> dict[str, EncodedText]:
        if not texts:
            return {}
        encoded = self.text_encoder(texts)
        lengths = encoded.valid.sum(dim=1).tolist()
        rows = zip(texts, encoded.tokens, encoded.pooled, lengths, strict=True)
        if torch.is_grad_enabled():
            return {text: EncodedText(tokens[:length], pooled) for text, tokens, pooled, length in rows}
        # Copies, so that a short text does not keep the padded batch alive.
        return {text: EncodedText(tokens[:length].clone(), pooled.clone()) for text, tokens, pooled, length in rows}

    def _forget_if_changed(self) -> None:
        if not self._weights.changed():
            return
        state = self._weights.state
        self.clear()
        self._weights.state = state
        if self._loaded and self.text_encoder.fingerprint() == self._fingerprint:
            with torch.inference_mode(False):
                table = torch.stack(list(self._loaded.values())).to(self._device)
            self._loaded = dict(zip(self._loaded, table, strict=True))
        elif self._loaded:
            print_log(
                'the weights of the text encoder changed: the embeddings read from a file are not used any more',
                logger='current',
                level=logging.WARNING,
            )
            self._loaded = {}


VocabularyEmbedder = TextCache
"""Former name."""


class _Latest(OrderedDict[_K, _V], Generic[_K, _V]):
    """What was used last."""

    def remember(self, used: Mapping[_K, _V], capacity: int) -> None:
        """Take entries, or note that they were used, and forget the least recently used beyond ``capacity``."""
        for key, value in used.items():
            self[key] = value
            self.move_to_end(key)
        while len(self) > capacity:
            self.popitem(last=False)


class _Weights:
    """Notices when weights are changed, moved or converted."""

    def __init__(self, text_encoder: CausalTextEncoder) -> None:
        self.text_encoder = text_encoder
        self.state: tuple[object, ...] | None = None
        self._places: tuple[object, ...] | None = None
        self._sample: list[Tensor] = []

    def parameters(self) -> list[nn.Parameter]:
        """All that features depend on."""
        return [weight for name, weight in self.text_encoder.named_parameters() if name != 'logit_scale']

    def changed(self) -> bool:
        """Whether something differs from the last call."""
        # Tensors made in inference mode carry no version counter.
        parameters = self.parameters()
        places = tuple((p.data_ptr(), p.dtype, p.device) for p in parameters)
        versions = tuple(0 if p.is_inference() else p._version for p in parameters)
        if places != self._places:
            self._places, self._sample = places, [_value(p) for p in parameters if p.numel()]
        # In training the optimizer changes weights, and it counts; reading values would wait for the device.
        values = None if torch.is_grad_enabled() else torch.cat(self._sample).tolist()
        before, self.state = self.state, (places, versions, values)
        if before is None or before[:2] != self.state[:2]:
            return True
        if values is None or before[2] is None:  # one of the two calls did not look at them
            self.state = (places, versions, before[2] if values is None else values)
            return False
        return values != before[2]


def _value(parameter: Tensor) -> Tensor:
    """A value from the middle of a parameter, as a view ``[1]`` of its memory."""
    local: Tensor = getattr(parameter, '_local_tensor', parameter).detach()
    return local[tuple(length // 2 for length in local.shape)].reshape(1)
