"""Small data sets written to a temporary folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / '..' / 'shared'


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Developers' folder of real photographs, which users do not have."""
    if not (SHARED / 'data').is_dir():
        pytest.skip("needs the developers' reference data in ../shared/data")
    return SHARED / 'data'


class TinyCoco:
    """Two 8x6 pictures in COCO's panoptic and instance layout, with categories out of order and with gaps."""

    categories = [
        dict(id=200, name='sky-merged', isthing=0),
        dict(id=7, name='train', isthing=1),
        dict(id=3, name='car', isthing=1),
        dict(id=150, name='grass', isthing=0),
    ]

    def __init__(self, root: Path) -> None:
        self.root = root
        generator = np.random.default_rng(0)
        for folder in ('img', 'seg'):
            (root / folder).mkdir()
        for name in ('a', 'b'):
            pixels = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / 'img' / f'{name}.png')
        # Picture a: upper half sky (id 70000), a car (id 300), a crowd of trains (id 5), a void corner.
        self.ids = np.full((6, 8), 70000, dtype=np.uint32)
        self.ids[3:, :4] = 300
        self.ids[3:, 4:] = 5
        self.ids[5, 7] = 0
        save_ids(root / 'seg' / 'a.png', self.ids)
        save_ids(root / 'seg' / 'b.png', np.full((6, 8), 9, dtype=np.uint32))
        self.images = [dict(id=i, file_name=f'{n}.png', height=6, width=8) for i, n in ((11, 'a'), (12, 'b'))]
        self.panoptic = dict(
            images=self.images,
            categories=self.categories,
            annotations=[
                dict(
                    image_id=11,
                    file_name='a.png',
                    segments_info=[
                        dict(id=300, category_id=3, iscrowd=0),
                        dict(id=70000, category_id=200, iscrowd=0),
                        dict(id=5, category_id=7, iscrowd=1),
                    ],
                ),
                dict(image_id=12, file_name='b.png', segments_info=[dict(id=9, category_id=150, iscrowd=0)]),
            ],
        )
        self.instances = dict(
            images=self.images,
            categories=[dict(id=7, name='train'), dict(id=3, name='car')],
            annotations=[
                _box(1, 11, 3, [0, 0, 4, 3]),
                _box(2, 11, 7, [2, 1, 4, 4]),
                _box(3, 11, 7, [0, 0, 8, 6], iscrowd=1),
            ],
        )

    def write(self, name: str, content: Any) -> str:
        """Write an annotation file and return its path."""
        path = self.root / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def panoptic_cfg(self, **kwargs: Any) -> dict:
        """Arguments of the panoptic dataset."""
        ann_file = self.write('panoptic.json', self.panoptic)
        return {**self._common(ann_file), 'data_prefix': dict(img='img', seg='seg'), **kwargs}

    def instance_cfg(self, **kwargs: Any) -> dict:
        """Arguments of the instance dataset."""
        ann_file = self.write('instances.json', self.instances)
        return {**self._common(ann_file), 'data_prefix': dict(img='img'), **kwargs}

    def _common(self, ann_file: str) -> dict:
        # Serialising collects garbage, which takes longer than the rest of a test.
        return dict(ann_file=ann_file, data_root=str(self.root), serialize_data=False)


def _box(number: int, image_id: int, category_id: int, box: list[int], iscrowd: int = 0) -> dict:
    x, y, w, h = box
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    return dict(
        id=number,
        image_id=image_id,
        category_id=category_id,
        bbox=box,
        area=w * h,
        iscrowd=iscrowd,
        segmentation=[[float(value) for value in polygon]],
    )


def save_ids(path: Path, ids: np.ndarray) -> None:
    """Write segment ids as COCO does: R + 256 G + 65536 B."""
    Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)).save(path)


@pytest.fixture
def tiny_coco(tmp_path: Path) -> TinyCoco:
    """A fresh :class:`TinyCoco`."""
    return TinyCoco(tmp_path)
