"""Runs benchmarks on pieces of data sets, with predictions made of the ground truth or by the tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as mask_util

from xdet.benchmarks.fragments import apply_benchmark
from xdet.datasets.sets.base import SegmentationDataset
from xdet.models.postprocess import mask_boxes
from xdet.registry import DATASETS
from xdet.structures import XDetDataSample

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name('tiny_run.py')


def benchmark_config(name: str, root: Path, protocol: str = 'recommended') -> Config:
    """The tiny run, testing on benchmark ``name`` with the data in ``root``."""
    init_default_scope('xdet')
    cfg = apply_benchmark(Config.fromfile(str(CONFIG)), name, protocol, root)
    cfg.test_dataloader.update(num_workers=0)
    cfg.test_dataloader.dataset.update(serialize_data=False)  # serialising collects garbage, which takes long
    return cfg


def benchmark_dataset(name: str, root: Path, protocol: str = 'recommended') -> SegmentationDataset:
    """The dataset alone."""
    return DATASETS.build(benchmark_config(name, root, protocol).test_dataloader.dataset)


def score_ground_truth(name: str, root: Path, protocol: str = 'recommended', shift: int = 0) -> dict[str, float]:
    """Values of a benchmark for predictions that equal the ground truth.

    Args:
        name (str): The benchmark.
        root (Path): Its data.
        protocol (str): Its protocol.
        shift (int): Added to all predicted labels, so that everything is wrong.
    """
    cfg = benchmark_config(name, root, protocol)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        _predict_ground_truth(sample, dataset.get_data_info(index), shift)
        evaluator.process([sample])
    return evaluator.evaluate(len(dataset))


def score_model(name: str, root: Path, work_dir: Path) -> dict[str, float]:
    """Values of a benchmark for the tiny model with random weights, through the runner."""
    cfg = benchmark_config(name, root)
    cfg.work_dir = str(work_dir)
    return Runner.from_cfg(cfg).test()


def _predict_ground_truth(sample: XDetDataSample, info: dict, shift: int) -> None:
    if 'semantic' in sample.tasks:
        labels = sample.gt_sem_seg.sem_seg
        if 'vocabulary_labels' in sample.metainfo:
            known = torch.tensor(sample.vocabulary_labels)
            labels = (labels[..., None] == known).long().argmax(-1)
        sample.pred_sem_seg = PixelData(sem_seg=(labels.clamp(min=0) + shift) % len(sample.vocabulary))
    if 'panoptic' in sample.tasks:
        sample.pred_panoptic_seg = sample.gt_panoptic_seg.clone()
        for segment in sample.pred_panoptic_seg.segments_info if shift else ():
            segment['label'] = (segment['label'] + shift) % len(sample.vocabulary)
    if 'instance' in sample.tasks:
        found = _instances(info, shift, len(sample.vocabulary)) if 'instances' in info else _things(sample, shift)
        sample.pred_instances = found


def _things(sample: XDetDataSample, shift: int) -> InstanceData:
    """Things of the panoptic ground truth."""
    ids, segments = sample.gt_panoptic_seg.sem_seg[0], sample.gt_panoptic_seg.segments_info
    things = [segment for segment in segments if segment['is_thing'] and not segment['iscrowd']]
    numbers = torch.tensor([segment['id'] for segment in things], dtype=ids.dtype)
    masks = ids[None] == numbers[:, None, None]
    labels = torch.tensor([segment['label'] for segment in things], dtype=torch.int64)
    return InstanceData(
        masks=masks,
        bboxes=mask_boxes(masks),
        labels=(labels + shift) % len(sample.vocabulary),
        scores=torch.ones(len(things)),
    )


def _instances(info: dict, shift: int, num_classes: int) -> InstanceData:
    size = info['height'], info['width']
    masks = []
    for instance in info['instances']:
        polygons = instance['mask']
        code = mask_util.frPyObjects(polygons, *size)
        masks.append(mask_util.decode(mask_util.merge(code) if isinstance(polygons, list) else code))
    stack = torch.from_numpy(np.stack(masks)).bool()
    labels = torch.tensor([instance['bbox_label'] for instance in info['instances']], dtype=torch.int64)
    return InstanceData(
        masks=stack,
        bboxes=mask_boxes(stack),
        labels=(labels + shift) % num_classes,
        scores=torch.ones(len(masks)),
    )
