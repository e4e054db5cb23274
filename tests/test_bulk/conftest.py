"""A model in files, as other processes load it, and images in every kind of place."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from xdet.apis import XDecoderInferencer

ASKED = dict(classes='dog . grass')


@pytest.fixture(scope='session')
def saved(tmp_path_factory: pytest.TempPathFactory, inferencer: XDecoderInferencer) -> dict[str, str]:
    """Config and weights of the tiny model."""
    folder = tmp_path_factory.mktemp('bulk_model')
    inferencer.cfg.dump(str(folder / 'tiny.py'))
    torch.save(inferencer.model.state_dict(), folder / 'tiny.pth')
    return dict(model=str(folder / 'tiny.py'), weights=str(folder / 'tiny.pth'), device='cpu')


@pytest.fixture(scope='session')
def known(saved: dict[str, str]) -> XDecoderInferencer:
    """What a single process has."""
    return XDecoderInferencer(**saved)


@pytest.fixture(scope='session')
def contents() -> list[bytes]:
    """Files of five images of several sizes, the second one truncated."""
    files = []
    for seed in range(5):
        pixels = np.random.RandomState(seed).randint(0, 255, (40 + 7 * seed, 60, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, 'PNG')
        files.append(file.getvalue())
    files[1] = files[1][:200]
    return files


@pytest.fixture
def folder(tmp_path: Path, contents: list[bytes]) -> Path:
    """The images in a folder."""
    path = tmp_path / 'images'
    path.mkdir()
    for number, content in enumerate(contents):
        (path / f'{number}.png').write_bytes(content)
    return path


def write_shard(path: Path, contents: list[bytes], first: int = 0) -> Path:
    """Images in WebDataset's layout, each with a caption before it."""
    with tarfile.open(path, 'w') as shard:
        for number, content in enumerate(contents, start=first):
            for suffix, data in dict(txt=b'a caption', png=content).items():
                info = tarfile.TarInfo(f'{number:05d}.{suffix}')
                info.size = len(data)
                shard.addfile(info, io.BytesIO(data))
    return path
