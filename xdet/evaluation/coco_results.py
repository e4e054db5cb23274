"""Predictions in COCO's result formats, for evaluation servers and other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from mmdet.structures.mask import encode_mask_results
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from xdet.datasets.files.coco_json import file_name, index_categories, index_images, load_coco_json
from xdet.io.writing import write_image, write_json
from xdet.registry import METRICS
from xdet.structures import Vocabulary
from xdet.structures.masks.codes import as_plain
from xdet.structures.masks.panoptic import panoptic_pixels
from xdet.tasks.pose_format import CocoPose, coco_poses

from .fields import check_finite, check_labels, name_of, require_results

PANOPTIC = 'panoptic'


@METRICS.register_module()
class CocoResults(BaseMetric):
    """Writes what a model predicts; measures nothing.

    Instances become ``segm.json`` and ``bbox.json``, poses ``keypoints.json``, panoptic segmentations ``panoptic.json``
    and PNGs of segment ids in ``panoptic/``. Image and category ids are those of the annotation file; predictions of
    classes that it does not have are left out.

    Args:
        ann_file (str): COCO annotation file with the images and categories.
        out_dir (str): Folder to write into.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        FileNotFoundError, ValueError: The annotation file is missing or unusable.
    """

    default_prefix = 'coco'

    def __init__(self, ann_file: str, out_dir: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        content = load_coco_json(ann_file)
        self.ann_file = ann_file
        self.out_dir = Path(out_dir)
        images = index_images(ann_file, content, sizes=False)
        self.png_names = _png_names({number: file_name(ann_file, image) for number, image in images.items()})
        categories = index_categories(ann_file, content)
        if not categories:
            raise ValueError(f'{ann_file}: the list of categories is empty, so no prediction has an id')
        self.category_ids = {category['name']: number for number, category in categories.items()}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the instances of a batch of images, and write its panoptic maps."""
        for sample in data_samples:
            if not {'pred_instances', 'pred_panoptic_seg', 'pred_poses'} & sample.keys():
                raise ValueError(
                    f'{name_of(sample)}: CocoResults writes instances, panoptic segments and poses; it has none of them'
                )
            if sample['img_id'] not in self.png_names:
                raise ValueError(f'{name_of(sample)}: its id {sample["img_id"]!r} is not in {self.ann_file}')
            instances = self._instances(sample) if 'pred_instances' in sample else None
            panoptic = self._panoptic(sample) if 'pred_panoptic_seg' in sample else None
            poses = self._poses(sample) if 'pred_poses' in sample else None
            self.results.append((instances, panoptic, poses))

    def compute_metrics(
        self, results: Sequence[tuple[list[dict] | None, dict | None, list[CocoPose] | None]]
    ) -> dict[str, float]:
        """Write the files.

        Returns:
            dict[str, float]: Number of instances, of panoptic segments and of poses in them.
        """
        require_results(self, results)
        written: dict[str, float] = {}
        lists = [instances for instances, *_ in results if instances is not None]
        if lists:
            rows = [row for instances in lists for row in instances]
            for kind, key in (('segm', 'segmentation'), ('bbox', 'bbox')):
                other = {'segmentation', 'bbox'} - {key}
                content = [{name: value for name, value in row.items() if name not in other} for row in rows]
                write_json(self.out_dir / f'{kind}.json', content)
            written['instances'] = len(rows)
        maps = [panoptic for _, panoptic, _ in results if panoptic is not None]
        if maps:
            write_json(self.out_dir / f'{PANOPTIC}.json', dict(annotations=maps))
            written['panoptic_segments'] = sum(len(entry['segments_info']) for entry in maps)
        if any(poses is not None for *_, poses in results):
            all_poses = [row for *_, poses in results for row in poses or ()]
            write_json(self.out_dir / 'keypoints.json', all_poses)
            written['poses'] = len(all_poses)
        print_log(f'predictions of {len(results)} images are in {self.out_dir}', logger='current')
        return written

    def _category(self, label: int) -> int | str | None:
        vocabulary: Vocabulary = self.dataset_meta['vocabulary']
        return self.category_ids.get(vocabulary.names[label])

    def _instances(self, sample: dict) -> list[dict]:
        """Rows of COCO's result format with both mask and box (xywh)."""
        found = sample['pred_instances']
        check_finite(sample, 'score of instance', found['scores'])
        labels = found['labels'].tolist()
        check_labels(sample, 'prediction', labels, len(self.dataset_meta['vocabulary']))
        rows = []
        codes = encode_mask_results(found['masks'].cpu().numpy())
        columns = zip(labels, found['scores'].tolist(), found['bboxes'].tolist(), codes, strict=True)
        for label, score, (left, top, right, bottom), code in columns:
            category = self._category(label)
            if category is not None:
                rows.append(
                    dict(
                        image_id=sample['img_id'],
                        category_id=category,
                        score=score,
                        bbox=[left, top, right - left, bottom - top],
                        segmentation=as_plain(code),
                    )
                )
        return rows

    def _poses(self, sample: dict) -> list[CocoPose]:
        found = sample['pred_poses']
        for key in ('scores', 'keypoints'):
            check_finite(sample, f'{key} of pose', found[key])
        names = self.dataset_meta['vocabulary'].names
        check_labels(sample, 'prediction', found['labels'].tolist(), len(names))
        return coco_poses(found, sample['img_id'], [self.category_ids.get(name) for name in names])

    def _panoptic(self, sample: dict) -> dict:
        """Write the map of segment ids and return the image's entry."""
        found = sample['pred_panoptic_seg']
        name = self.png_names[sample['img_id']]
        segments = []
        ids = found['sem_seg'].squeeze(0).cpu().numpy().astype(np.int64)
        for segment in found['segments_info']:
            category = self._category(segment['label'])
            if category is None:
                ids[ids == segment['id']] = 0
            else:
                segments.append(dict(id=int(segment['id']), category_id=category))
        write_image(self.out_dir / PANOPTIC / name, panoptic_pixels(ids))
        return dict(image_id=sample['img_id'], file_name=name, segments_info=segments)


def _png_names(file_names: Mapping[int | str, str]) -> dict[int | str, str]:
    """Names of the PNGs of images, by id: those of the images, below the folder of results wherever these lie.

    A file may name images by absolute paths, and two that differ in their suffix alone.
    """
    inside = {}
    for number, name in file_names.items():
        parts = [part for part in PurePosixPath(name.replace('\\', '/')).parts if part not in ('/', '..')]
        inside[number] = PurePosixPath(*parts) if parts else PurePosixPath(str(number))
    count = Counter(path.with_suffix('.png') for path in inside.values())
    own = {
        number: str(path.with_suffix('.png') if count[path.with_suffix('.png')] == 1 else f'{path}.png')
        for number, path in inside.items()
    }
    repeated = [name for name, times in Counter(own.values()).items() if times > 1]
    return {number: f'{number}-{Path(name).name}' if name in repeated else name for number, name in own.items()}
