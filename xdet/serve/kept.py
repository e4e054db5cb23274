"""Encoded images that are kept for more prompts: bounded by memory and by time, least recently used first."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch

from xdet.inference.loaded import EncodedImage
from xdet.models.context import LatentPass

from .refusal import Refused


@dataclass
class _Entry:
    image: EncodedImage
    size: int
    used: float


class KeptImages:
    """Encoded images by handle. A handle cannot be guessed, so it is also the right to use the image.

    Args:
        most_bytes (int): Memory of all.
        seconds (float): After its last use an image is kept so long.
        clock (Callable): Seconds that only grow.
    """

    def __init__(self, most_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most_bytes = most_bytes
        self.seconds = seconds
        self.dropped = 0
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Memory that they take now."""
        with self._lock:
            return sum(entry.size for entry in self._entries.values())

    def add(self, image: EncodedImage) -> tuple[str, int]:
        """Keep an image; its handle and its size in bytes.

        Raises:
            Refused: It alone takes more than all may.
        """
        size = memory_of(image)
        if size > self.most_bytes:
            raise Refused(413, f'this image takes {size} bytes when encoded, and {self.most_bytes} are kept in all')
        handle = secrets.token_urlsafe(16)
        with self._lock:
            self._entries[handle] = _Entry(image, size, self._clock())
            self._shrink()
        return handle, size

    def get(self, handle: str) -> EncodedImage:
        """The image of a handle.

        Raises:
            Refused: It is not kept, or not any more.
        """
        with self._lock:
            self._expire()
            entry = self._entries.get(handle)
            if entry is None:
                raise Refused(404, 'there is no image of this handle, or not any more; post it to /v1/images again')
            entry.used = self._clock()
            self._entries.move_to_end(handle)
            return entry.image

    def measure(self, handle: str) -> None:
        """Note that an image was used: tasks add to what is kept of it."""
        with self._lock:
            if (entry := self._entries.get(handle)) is not None:
                entry.size = memory_of(entry.image)
                self._shrink()

    def drop(self, handle: str) -> bool:
        """Forget an image; whether there was one."""
        with self._lock:
            self._expire()
            return self._entries.pop(handle, None) is not None

    def expire(self) -> None:
        """Forget those that were not used for too long."""
        with self._lock:
            self._expire()

    def _expire(self) -> None:
        oldest = self._clock() - self.seconds
        while self._entries and next(iter(self._entries.values())).used < oldest:
            self._pop()

    def _shrink(self) -> None:
        self._expire()
        while self._entries and sum(entry.size for entry in self._entries.values()) > self.most_bytes:
            self._pop()

    def _pop(self) -> None:
        self._entries.popitem(last=False)
        self.dropped += 1


def memory_of(image: EncodedImage) -> int:
    """Bytes of all arrays and tensors that an encoded image holds, each storage once, without those of the model."""
    sizes: dict[int, int] = {}
    _collect(image, sizes)
    return sum(sizes.values())


def _collect(value: Any, sizes: dict[int, int]) -> None:
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
    elif isinstance(value, np.ndarray):
        sizes[id(value)] = value.nbytes
    elif isinstance(value, (str, bytes, int, float, torch.nn.Module, type(None))):
        return
    elif isinstance(value, (list, tuple, set, frozenset)):
        for entry in value:
            _collect(entry, sizes)
    elif isinstance(value, Mapping):
        for entry in value.values():
            _collect(entry, sizes)
    elif is_dataclass(value):
        for part in fields(value):
            _collect(getattr(value, part.name), sizes)
    elif isinstance(value, LatentPass):  # what was made lies in its dictionary
        _collect(vars(value), sizes)
