"""A folder of images, and what of it goes through the model."""

from pathlib import Path

import pytest
from tiny.retrieval import add

from xdet.retrieval.embedding import Embedder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    add(folder, 'a.png', 'b.png', 'trip/c.png', 'trip/ä d.png', 'e.png')
    (folder / 'broken.jpg').write_bytes(b'no image')
    (folder / 'notes.txt').write_text('no image')
    return folder


@pytest.fixture
def embedded(monkeypatch):
    """Names of the pictures and texts that went through the model."""
    seen = []
    images, texts = Embedder.images, Embedder.texts

    def watch_images(self, sources):
        seen.extend(Path(source.name).name for source in sources)
        return images(self, sources)

    def watch_texts(self, items):
        seen.extend(items)
        return texts(self, items)

    monkeypatch.setattr(Embedder, 'images', watch_images)
    monkeypatch.setattr(Embedder, 'texts', watch_texts)
    return seen
