"""A folder for files of annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an image of 8x6 pixels, at the places where formats look for it."""
    for name in ('images/a.png', 'a.png', 'JPEGImages/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / name)
    return tmp_path
