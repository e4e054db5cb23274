"""Programs that run ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from xdet.io.schema import shown
from xdet.lazy import import_optional

Run = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]]
"""Inputs of a graph by name to its results, in order."""


class ExportError(ValueError):
    """An exported model cannot be used; the message is one line that names the file."""


class Backend(Protocol):
    """Loads graphs."""

    def load(self, path: Path) -> Run:
        """A graph, whose weights lie beside it. Errors have types of their own."""


def _library(name: str, user: str, extra: str) -> Any:
    try:
        return import_optional(name, user, extra)
    except ImportError as error:
        raise ExportError(str(error)) from None


class OnnxRuntime:
    """Microsoft's onnxruntime.

    Args:
        threads (int, optional): Threads per graph; None leaves it to the library.
        providers (Sequence[str], optional): What computes; None is the CPU.

    Raises:
        ExportError: It is not installed, or has no such provider.
    """

    def __init__(self, threads: int | None, providers: Sequence[str] | None) -> None:
        self._library, self._threads = _library('onnxruntime', 'running exported models', 'runtime'), threads
        self._providers = ['CPUExecutionProvider'] if providers is None else list(providers)
        available = self._library.get_available_providers()
        if unknown := sorted(set(self._providers) - set(available)):
            raise ExportError(
                f'providers {", ".join(unknown)} are not available; this onnxruntime has {", ".join(available)}'
            )

    def load(self, path: Path) -> Run:
        """See :class:`Backend`."""
        options = self._library.SessionOptions()
        options.log_severity_level = 3
        if self._threads:
            options.intra_op_num_threads = self._threads
        session = self._library.InferenceSession(str(path), options, providers=self._providers)
        return lambda inputs: session.run(None, inputs)


class OpenVino:
    """Intel's OpenVINO, on the CPU and in single precision.

    Args:
        threads (int, optional): Threads per graph; None leaves it to the library.
        providers (Sequence[str], optional): None; they are onnxruntime's.

    Raises:
        ExportError: It is not installed, or providers were given.
    """

    def __init__(self, threads: int | None, providers: Sequence[str] | None) -> None:
        if providers is not None:
            raise ExportError("providers are onnxruntime's; backend 'openvino' takes none")
        self._core = _library('openvino', "backend 'openvino'", 'openvino').Core()
        self._settings: dict[str, Any] = dict(INFERENCE_PRECISION_HINT='f32')
        if threads:
            self._settings['INFERENCE_NUM_THREADS'] = threads

    def load(self, path: Path) -> Run:
        """See :class:`Backend`."""
        graph = self._core.compile_model(str(path), 'CPU', self._settings)
        return lambda inputs: [*graph(inputs).to_tuple()]


BACKENDS: dict[str, type[OnnxRuntime] | type[OpenVino]] = dict(onnxruntime=OnnxRuntime, openvino=OpenVino)
"""By name."""


def make_backend(name: str, threads: int | None, providers: Sequence[str] | None) -> Backend:
    """One of :data:`BACKENDS`.

    Raises:
        ExportError: There is none of this name, or it cannot be used.
    """
    if not isinstance(name, str) or name not in BACKENDS:
        raise ExportError(f'backend is {shown(name)}; accepted are {", ".join(BACKENDS)}')
    return BACKENDS[name](threads, providers)
