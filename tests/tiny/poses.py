"""Animals of a few pixels with segments and keypoints, in COCO's layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .coco import save_ids

KEYPOINTS = ('left_eye', 'right_eye', 'nose', 'tail')
SKELETON = [[1, 3], [2, 3], [3, 4]]


class TinyPoses:
    """Pictures of 64x48 pixels, each with a dog (two keypoints of a side, one of none) beside a chair without any.

    Ids of images and categories differ between the two files, as they do in real data.

    Args:
        root (Path): Folder to write into.
        number (int): Number of pictures.
    """

    def __init__(self, root: Path, number: int = 4) -> None:
        self.root = root
        for folder in ('images', 'panoptic'):
            (root / folder).mkdir(parents=True)
        generator = np.random.default_rng(0)
        images, segments, animals = [], [], []
        for index in range(number):
            pixels = generator.integers(0, 60, (48, 64, 3), dtype=np.uint8)
            ids = np.zeros((48, 64), dtype=np.uint32)
            left, top = int(generator.integers(2, 20)), int(generator.integers(2, 16))
            pixels[top : top + 24, left : left + 20] = (200, 120, 40)
            ids[top : top + 24, left : left + 20] = 7
            pixels[10:40, 50:60] = (20, 60, 220)
            ids[10:40, 50:60] = 9
            # A viewer sees the right eye of what looks at him on the left.
            points = {'right_eye': (left + 5, top + 4), 'left_eye': (left + 15, top + 4), 'nose': (left + 10, top + 9)}
            for x, y in points.values():
                pixels[y - 1 : y + 2, x - 1 : x + 2] = (255, 255, 255)
            Image.fromarray(pixels).save(root / 'images' / f'{index}.png')
            save_ids(root / 'panoptic' / f'{index}.png', ids)
            images.append(dict(id=index, file_name=f'{index}.png', height=48, width=64))
            parts = [dict(id=7, category_id=5, iscrowd=0), dict(id=9, category_id=6, iscrowd=0)]
            segments.append(dict(image_id=index, file_name=f'{index}.png', segments_info=parts))
            flat: list[float] = []
            for name in KEYPOINTS:
                flat += [*points[name], 2] if name in points else [0, 0, 0]
            animals.append(
                dict(id=index + 1, image_id=100 + index, category_id=1, keypoints=flat, num_keypoints=3, iscrowd=0,
                     bbox=[left, top, 20, 24], area=480)
            )  # fmt: skip
        self.panoptic = dict(
            images=images, annotations=segments, categories=[dict(id=5, name='dog'), dict(id=6, name='chair')]
        )
        self.keypoints = dict(
            images=[dict(image, id=100 + image['id']) for image in images],
            annotations=animals,
            categories=[dict(id=1, name='dog', keypoints=list(KEYPOINTS), skeleton=SKELETON)],
        )
        self.panoptic_file, self.keypoint_file = root / 'panoptic.json', root / 'keypoints.json'
        self.write()

    def write(self) -> str:
        """Write both annotation files; returns the path of the keypoints."""
        self.panoptic_file.write_text(json.dumps(self.panoptic))
        self.keypoint_file.write_text(json.dumps(self.keypoints))
        return str(self.keypoint_file)

    def sample(self, index: int = 0) -> dict[str, Any]:
        """What a data set hands to the pipeline."""
        from xdet.datasets.sets import CocoPanopticSegDataset

        prefix = dict(img='images', seg='panoptic')
        dataset = CocoPanopticSegDataset(
            ann_file='panoptic.json', data_root=str(self.root), data_prefix=prefix, serialize_data=False
        )
        return dataset.get_data_info(index)
