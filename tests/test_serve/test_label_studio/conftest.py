"""A backend that is asked; its files and its model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xdet.apis import XDecoderInferencer

# What needs fastapi is imported by the fixtures: tests without it are skipped, and this file is read before them.


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny.label_studio import HEIGHT, WIDTH

    folder = tmp_path_factory.mktemp('files')
    (folder / 'in').mkdir()
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / 'in' / f'{seed} a.png')
    (folder / 'broken.jpg').write_bytes(b'GIF89a')
    (folder.parent / 'secret.png').write_bytes((folder / 'in' / '0 a.png').read_bytes())
    (folder / 'link.png').symlink_to(folder.parent / 'secret.png')
    return folder


@pytest.fixture(scope='module')
def service(inferencer: XDecoderInferencer) -> Iterator[Any]:
    from tiny.label_studio import LIMITS

    from xdet.serve.service import Service

    service = Service(inferencer, LIMITS)
    yield service
    service.worker.close()


@pytest.fixture
def client(service: Any, folder: Path) -> Any:  # its life is not entered: the service outlives the client
    from tiny.label_studio import backend

    return backend(service, folder)
