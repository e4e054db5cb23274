"""Memory and time of segmentation with a large vocabulary on large images, post-processing and metrics together.

    python benchmarks/metric_cost.py --classes 847 --height 1024 --width 2048

Random embeddings stand in for the network, whose own memory depends on its backbone. Peaks are of the whole process, on
the CPU; the first line is what the libraries take.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

import torch
from mmengine.structures import PixelData

from xdet.evaluation import PanopticQuality, SemanticIoU
from xdet.models import postprocess
from xdet.structures import Vocabulary, XDetDataSample, segment_map


def peak() -> float:
    """Most memory that the process has had, in GB."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def timed(name: str, function: Callable):
    """Run and report a step."""
    start = time.perf_counter()
    result = function()
    print(f'{name:<34}{time.perf_counter() - start:8.2f} s {peak():8.2f} GB')
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--classes', type=int, default=847)
    parser.add_argument('--height', type=int, default=1024)
    parser.add_argument('--width', type=int, default=2048)
    parser.add_argument('--queries', type=int, default=101)
    parser.add_argument('--images', type=int, default=2)
    parser.add_argument('--all-tasks', action='store_true', help='keep the masks for three tasks, as one pass does')
    args = parser.parse_args()
    size = (args.height, args.width)
    vocabulary = Vocabulary(tuple(f'class {i}' for i in range(args.classes)), (True,) * args.classes)
    semantic, panoptic = SemanticIoU(), PanopticQuality()
    semantic.dataset_meta = panoptic.dataset_meta = dict(classes=vocabulary.names, vocabulary=vocabulary)
    print(f'{"start":<34}{"":10} {peak():8.2f} GB')
    generator = torch.Generator().manual_seed(0)
    for _ in range(args.images):
        logits = 5 * torch.randn(args.queries, args.classes + 1, generator=generator)
        embed = torch.randn(args.queries, 512, generator=generator)
        features = torch.randn(512, args.height // 4, args.width // 4, generator=generator) / 20

        def masks(queries, embed=embed, features=features):
            return postprocess.mask_logits(embed[queries], features, size, size)

        if args.all_tasks:
            kept = timed('masks of all queries', lambda masks=masks: masks(slice(None)))
            masks = kept.__getitem__
        labels = timed('semantic_labels', lambda: postprocess.semantic_labels(logits, masks, size))  # noqa: B023
        sample = XDetDataSample(metainfo=dict(img_path='random'))
        gt = torch.where(torch.rand(size, generator=generator) < 0.9, labels, -1)
        sample.gt_sem_seg, sample.pred_sem_seg = PixelData(sem_seg=gt[None]), PixelData(sem_seg=labels[None])
        timed('SemanticIoU.process', lambda sample=sample: semantic.process(None, [sample.to_dict()]))
        segments, infos = timed(
            'panoptic_segments',
            lambda: postprocess.panoptic_segments(logits, masks, size, vocabulary.is_thing, 0.05),  # noqa: B023
        )
        sample.gt_panoptic_seg = sample.pred_panoptic_seg = segment_map(segments, infos)
        timed('PanopticQuality.process', lambda sample=sample: panoptic.process(None, [sample.to_dict()]))
        if args.all_tasks:
            timed('instances', lambda: postprocess.instances(logits, masks, size, vocabulary.is_thing))  # noqa: B023
    timed('SemanticIoU of all images', lambda: semantic.evaluate(args.images))


if __name__ == '__main__':
    main()
