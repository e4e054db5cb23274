"""Any model of peers_models.py, judged by the same code on the validation images."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from peers_models import Ours, Peer
from PIL import Image
from torch import Tensor

from xdet.evaluation import ClassCounts, class_areas, match_segments
from xdet.models import postprocess
from xdet.registry import DATASETS
from xdet.structures import XDetDataSample

JUDGED = ('cat', 'dog', 'horse', 'cow', 'sheep', 'person')
IGNORED = 255  # label of pixels that nobody labelled, in the maps that decide


@torch.no_grad()
def judge(peer: Peer, cfg: Config, args: argparse.Namespace) -> dict[str, Any]:
    """All numbers of a trained model on the validation images, evenly chosen."""
    peer.eval()
    data = DATASETS.build({**cfg.val_dataloader.dataset, 'pipeline': test_pipeline(cfg)})
    names = data.metainfo['classes']
    columns = [0] + [names.index(name) + 1 for name in JUDGED]
    thresholds = (0.1, 0.2, 0.3, 0.4, 0.5)
    areas = {key: torch.zeros(3, len(names) + 1, dtype=torch.int64) for key in (*thresholds, 'named', 'argmax')}
    quality = {label: ClassCounts() for label in range(len(names))}
    best, named, hidden, spent = [], [], [], 0.0
    places = np.linspace(0, len(data) - 1, min(args.images, len(data))).round().astype(int)
    for place in places:
        item = data[int(place)]
        sample: XDetDataSample = item['data_samples']
        if isinstance(peer, Ours):
            peer.vocabulary = sample.vocabulary
        prepared = peer.preprocessor(dict(inputs=[item['inputs']], data_samples=[sample]), False)
        start = time.process_time()
        classes, masks = peer.scores(prepared['inputs'][0][None])
        spent += time.process_time() - start
        truth = torch.from_numpy(np.asarray(Image.open(labels_of(sample.img_path))).astype(np.int64))
        size, valid = tuple(truth.shape), tuple(prepared['data_samples'][0].img_shape[:2])
        padded = tuple(prepared['inputs'][0].shape[-2:])
        if masks is None:
            enlarged = resized(classes, padded, valid, size)
            areas['argmax'] += class_areas(enlarged.argmax(0), truth, len(names) + 1, (IGNORED,))
            continue
        masks = resized(masks, padded, valid, size)
        scores = postprocess.semantic_scores(classes, masks.__getitem__, size)
        highest, label = scores.max(0)
        for threshold in thresholds:
            found = torch.where(highest > threshold, label + 1, 0)
            areas[threshold] += class_areas(found, truth, len(names) + 1, (IGNORED,))
        truth_map, infos = sample.gt_panoptic_seg.sem_seg[0], sample.gt_panoptic_seg.segments_info
        found_map, found = postprocess.panoptic_segments(classes, masks.__getitem__, size, [True] * len(names), 0.5)
        for key, counts in match_segments(truth_map, infos, found_map, found).items():
            quality[key] += counts
        # What the masks are worth when the names are given, and what the names are worth for the best masks.
        inside = (masks > 0).flatten(1).float()
        oracle = torch.zeros(size, dtype=torch.int64)
        for info in infos:
            mask = (truth_map == info['id']).flatten().float()
            common = inside @ mask
            iou = common / (inside.sum(1) + mask.sum() - common)
            query = int(iou.argmax())
            probability = classes[query].softmax(-1)
            best.append(float(iou[query]))
            named.append(float(probability[:-1].argmax() == info['label']))
            hidden.append(float(probability[-1]))
            oracle[masks[query] > 0] = info['label'] + 1
        areas['named'] += class_areas(oracle, truth, len(names) + 1, (IGNORED,))
    result: dict[str, Any] = dict(images=len(places), test_s_per_image=spent / len(places))
    iou = {key: intersections(value)[columns] for key, value in areas.items() if value.any()}
    rule = 0.5 if 0.5 in iou else 'argmax'
    result['mIoU7'] = float(iou[rule].mean())
    result['IoU'] = dict(zip(('background', *JUDGED), iou[rule].tolist(), strict=True))
    if rule == 0.5:
        result['mIoU7_by_threshold'] = {str(key): float(iou[key].mean()) for key in thresholds}
        result['mIoU7_names_given'] = float(iou['named'].mean())
        result['PQ'] = {name: 100 * quality[names.index(name)].quality[0] for name in JUDGED}
        result['PQ_animals'] = float(np.mean([result['PQ'][name] for name in JUDGED[:-1]]))
        result.update(best_mask_IoU=100 * np.mean(best), best_mask_named=100 * np.mean(named))
        result['best_mask_no_object'] = 100 * np.mean(hidden)
    return result


def intersections(areas: Tensor) -> Tensor:
    intersection, predicted, labelled = areas.double()
    return 100 * intersection / (predicted + labelled - intersection).clamp(min=1)


def resized(maps: Tensor, padded: tuple[int, int], valid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Maps ``[n, h, w]`` of the padded image in the original size."""
    maps = F.interpolate(maps[None], padded, mode='bilinear')[..., : valid[0], : valid[1]]
    return F.interpolate(maps, size, mode='bilinear')[0]


def labels_of(image: str) -> Path:
    """The map of ``labels/<split>/`` that belongs to an image of ``images/<split>/``."""
    path = Path(image)
    return path.parents[2] / 'labels' / path.parent.name / f'{path.stem}.png'


def test_pipeline(cfg: Config) -> list[dict]:
    steps = [dict(step) for step in cfg.val_dataloader.dataset.pipeline if step['type'] != 'DescribeSegments']
    for step in steps:  # the size of training for all, whatever the config tests at
        if step['type'] == 'ResizeShortestEdge':
            step.update(scale=cfg.size, max_size=2 * cfg.size)
    return [*steps[:-1], dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic',))]
