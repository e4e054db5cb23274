"""A folder of exported graphs: what it says about itself, and sessions that run the graphs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.io.reading import expand, file_sha256, read_json, shorten
from xdet.io.schema import checked, number, require, shown

from .backends import ExportError, Run, make_backend

__all__ = ['ExportError', 'ExportedModel', 'FORMAT', 'MANIFEST', 'softmax']

FORMAT = 2
MANIFEST = 'model.json'


class ExportedModel:
    """Graphs of one model, loaded when they are first run.

    Args:
        folder (str | Path): Written by ``tools/deployment/export_onnx.py``.
        threads (int, optional): Threads per graph; None leaves it to the backend.
        providers (Sequence[str], optional): Of onnxruntime; None is the CPU.
        backend (str): One of :data:`~xdet.runtime.backends.BACKENDS`.

    Raises:
        ExportError: There is no exported model, the backend is missing, or a file is missing or damaged.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        backend: str = 'onnxruntime',
    ) -> None:
        self.folder = expand(folder)
        path = self.folder / MANIFEST
        try:
            facts = read_json(path)
            found = require(facts, 'format', int, str(path))
            if found == FORMAT:
                _check_facts(facts, str(path))
        except FileNotFoundError:
            raise ExportError(
                f"folder '{shorten(str(self.folder))}' holds no exported model (no {MANIFEST}); "
                'tools/deployment/export_onnx.py writes one'
            ) from None
        except (OSError, ValueError) as error:
            raise ExportError(str(error)) from None
        if found != FORMAT:
            raise ExportError(
                f'{path}: is of format {found}; this version of xdet reads format {FORMAT}, so export the model again'
            )
        self.facts: Mapping[str, Any] = _Facts.of(facts, f'{path}: ')
        self._graphs: Mapping[str, Mapping[str, Any]] = self.facts['graphs']
        self._weights: Mapping[str, Any] = self.facts['data']
        self._backend, self._backend_name = make_backend(backend, threads, providers), backend
        self._sessions: dict[str, Run] = {}

    def __contains__(self, graph: str) -> bool:
        return graph in self._graphs

    def inputs(self, graph: str) -> list[str]:
        """Names of the inputs of a graph.

        Raises:
            ExportError: There is no such graph.
        """
        if graph not in self._graphs:
            raise ExportError(f'{self.folder / MANIFEST}: has no graph {graph!r}; it has {", ".join(self._graphs)}')
        names: list[str] = self._graphs[graph]['inputs']
        return names

    def named(self, graph: str, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Results of a graph by name; of the values it takes those that it needs. Errors as in :meth:`run`."""
        found = self.run(graph, **{name: values[name] for name in self.inputs(graph)})
        return dict(zip(self._graphs[graph]['outputs'], found, strict=True))

    def run(self, graph: str, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Results of a graph, in its order.

        Raises:
            ExportError: A file of it is missing or damaged, or it does not take these inputs.
        """
        run = self._sessions.get(graph) or self._session(graph)
        try:
            return run(inputs)
        except Exception as error:  # of the backend, by types of its own
            reason = shorten(str(error).replace('\n', ' '), 300)
            raise ExportError(f'{self.folder / self._graphs[graph]["file"]}: {reason}') from error

    def _session(self, graph: str) -> Run:
        """Load a graph, whose file must be the one that was exported."""
        self.inputs(graph)
        self._check_weights  # noqa: B018
        facts = self._graphs[graph]
        path = _inside(self.folder, facts['file'])
        _check(path, facts['bytes'], facts['sha256'])
        try:
            self._sessions[graph] = self._backend.load(path)
        except Exception as error:  # likewise
            reason = shorten(str(error).replace('\n', ' '), 300)
            raise ExportError(f'{path}: {self._backend_name} cannot load it ({reason})') from error
        return self._sessions[graph]

    @cached_property
    def _check_weights(self) -> None:
        _check(_inside(self.folder, self._weights['file']), self._weights['bytes'], self._weights['sha256'])


def _check_facts(facts: Mapping[str, Any], where: str) -> None:
    """Whether what is read of a manifest is there and of its kind.

    Raises:
        ValueError: Something is not; file and field are named.
    """
    graphs, data, _, text = (require(facts, key, dict, where) for key in ('graphs', 'data', 'tasks', 'text'))
    files = {f'graph {name!r}': graph for name, graph in graphs.items()} | {"'data'": data}
    for name, file in files.items():
        for key, kind in dict(file=str, bytes=int, sha256=str).items():
            require(file, key, kind, f'{where}: {name}')
        for key in ('inputs', 'outputs') if file is not data else ():
            for one in require(file, key, list, f'{where}: {name}'):
                checked(one, str, f"{where}: {name}: an entry of '{key}'")
    for key, kind in dict(tokens=str, encoder=str, templates_sha256=str).items():
        require(text, key, kind, f"{where}: 'text'")
    number(f"{where}: 'text': context_length", text.get('context_length'), int, 2, 4096)
    for template in require(text, 'templates', list, f"{where}: 'text'"):
        if checked(template, str, f"{where}: 'text': a template").count('{}') != 1:
            raise ValueError(f"{where}: 'text': the template {shown(template)} has no single place {{}} for a name")


class _Facts(dict):
    """An object of the manifest, which names the file when something is looked for that it does not have."""

    where: str

    @classmethod
    def of(cls, value: Any, where: str) -> Any:
        """``value`` with all objects in it; ``where`` begins the names of its fields."""
        if not isinstance(value, dict):
            return value
        facts = cls({key: cls.of(one, f'{where}{key}.') for key, one in value.items()})
        facts.where = where
        return facts

    def __missing__(self, key: str) -> Any:
        raise ExportError(
            f'{self.where}{key} is missing; the file is damaged or of another version, export the model again'
        )


def _inside(folder: Path, name: Any) -> Path:
    """A file of the folder."""
    if not isinstance(name, str) or name != Path(name).name:
        raise ExportError(f'{folder / MANIFEST}: names the file {shown(name)}; accepted are files beside it')
    return folder / name


def _check(path: Path, size: int, digest: str) -> None:
    """Raise :class:`ExportError` unless a file is the one that was exported."""
    try:
        found = path.stat().st_size
    except OSError as error:
        raise ExportError(f'{path}: {error.strerror or error}') from None
    if found != size:
        raise ExportError(f'{path}: has {found} of {size} bytes; it is damaged, export the model again')
    if file_sha256(path) != digest:
        raise ExportError(f'{path}: is not the file that was exported (its hash differs); export the model again')


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return result
