"""The tiny model, exported once for all tests and all processes that share them."""

from __future__ import annotations

from pathlib import Path

import pytest

from xdet.apis import XDecoderInferencer
from xdet.io.locking import locked


@pytest.fixture(scope='session')
def exported(inferencer: XDecoderInferencer, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Folder of the exported tiny model with its certificate."""
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(package, reason=f'{package} is not installed (requirements/export.txt)')
    from xdet.export.certificate import certify
    from xdet.export.exporting import export

    root = tmp_path_factory.getbasetemp()
    folder = (root if worker_id == 'master' else root.parent) / 'exported'
    with locked(folder.with_suffix('.lock'), wait=True):
        if not folder.exists():
            export(inferencer, folder, lambda unfinished: certify(inferencer, unfinished))
    return folder
