"""Exported models against the toolkit on held-out scenes: quality, size, time and memory.

    python benchmarks/exported.py exported exported_fp16 exported_int8 --scenes 200 --out exported.json

Each runs in a process of its own, on the same images: panoptic segmentation, phrases and captions, and their speed.
`torch` in place of a folder is the toolkit with the embedded model of the generated world.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('models', nargs='+', help='folders of exported models, or torch')
    parser.add_argument('--scenes', type=int, default=200)
    parser.add_argument('--captions', type=int, default=50, help='scenes that are described')
    parser.add_argument('--timed', type=int, default=10, help='images that are timed')
    parser.add_argument('--out', type=Path)
    parser.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args()


def load(model: str) -> tuple[Any, dict[str, float]]:
    """Inferencer, and what starting costs."""
    started = time.perf_counter()
    if model == 'torch':
        from xdet.apis import XDecoderInferencer

        inferencer: Any = XDecoderInferencer('scenes', device='cpu')
        size = Path(inferencer.origin.weights).stat().st_size
    else:
        from xdet.runtime import OnnxInferencer

        inferencer = OnnxInferencer(model, threads=int(os.environ.get('OMP_NUM_THREADS', '1')))
        size = sum(path.stat().st_size for path in Path(model).iterdir() if path.name != 'certificate.json')
    return inferencer, dict(start_s=time.perf_counter() - started, mb=size / 1e6)


def measure(model: str, scenes: int, captions: int, timed: int) -> dict[str, Any]:
    """Speed first, as the evaluation imports the toolkit."""
    inferencer, row = load(model)
    import numpy as np

    pictures = [np.load(path) for path in sorted(Path(os.environ['XDET_PICTURES']).glob('*.npy'))[:timed]]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    inferencer(pictures[0], 'panoptic')
    row['first_mask_s'] = time.perf_counter() - started
    for task, options in (('panoptic', {}), ('refseg', dict(phrases='a red circle')), ('caption', {})):
        inferencer(pictures[0], task, **options)
        spent = time.process_time()
        for picture in pictures:
            inferencer.set_image(picture)
            inferencer.predict(task, **options)
        row[f'{task}_s'] = (time.process_time() - spent) / len(pictures)
    row['memory_mb'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row['memory_before_mb'] = before
    row.update(judge(inferencer, scenes, captions))
    return row


def judge(inferencer: Any, scenes: int, captions: int) -> dict[str, float]:
    """PQ, cIoU of phrases and exact captions on the validation scenes."""
    import numpy as np
    import torch
    from mmengine.registry import init_default_scope

    from xdet.evaluation.panoptic_quality import ClassCounts, match_segments, summarise
    from xdet.model_zoo import find_config, load_config
    from xdet.registry import DATASETS
    from xdet.structures import decode_mask

    init_default_scope('xdet')
    dataset = DATASETS.build(load_config(find_config('xdecoder_focal-nano_scenes-joint')).val_dataloader.dataset)
    counts: dict[int, ClassCounts] = defaultdict(ClassCounts)
    common = union = right = 0
    for index in range(scenes):
        item = dataset[index]
        sample = item['data_samples']
        inferencer.set_image(np.ascontiguousarray(item['inputs'].numpy().transpose(1, 2, 0)))
        segments = inferencer.predict('panoptic')['predictions'][0]['segments']
        ids = torch.zeros(sample.ori_shape[:2], dtype=torch.int64)
        for segment in segments:
            ids[torch.from_numpy(decode_mask(segment['segmentation']))] = segment['id']
        truth = sample.gt_panoptic_seg
        for label, found in match_segments(truth.sem_seg.squeeze(0), truth.segments_info, ids, segments).items():
            counts[label] += found
        phrases = list(sample.metainfo['phrases'])
        if phrases:
            found_masks = inferencer.predict('refseg', phrases=phrases)['predictions'][0]['segments']
            for segment, mask in zip(found_masks, sample.gt_phrases.masks.bool().numpy(), strict=True):
                own = decode_mask(segment['segmentation'])
                common, union = common + (own & mask).sum(), union + (own | mask).sum()
        if index < captions:
            text = inferencer.predict('caption')['predictions'][0]['captions'][0]['text']
            right += any(text == caption.split('.')[0].strip() for caption in sample.metainfo['captions'])
    pq = summarise(dict(counts), inferencer.default_vocabulary)['PQ']
    return dict(PQ=pq, cIoU=100 * float(common / union), captions=100 * right / max(captions, 1))


def main() -> None:
    """Entry point."""
    args = parse_args()
    if args.worker:
        print(json.dumps(measure(args.models[0], args.scenes, args.captions, args.timed)))
        return
    import tempfile

    import numpy as np

    from xdet.export.certificate import default_images

    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(default_images(args.timed)):
            np.save(Path(folder, f'{number:03}.npy'), image)
        for model in args.models:
            counts = ['--scenes', args.scenes, '--captions', args.captions, '--timed', args.timed]
            command = [sys.executable, __file__, model, '--worker', *map(str, counts)]
            done = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, 'XDET_PICTURES': folder}, cwd=ROOT
            )
            if done.returncode:
                raise SystemExit(f'error: {model}: {done.stderr[-2000:]}')
            rows[model] = json.loads(done.stdout.splitlines()[-1])
            print(model, json.dumps(rows[model]), flush=True)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
    main()
