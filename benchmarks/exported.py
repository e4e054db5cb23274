"""Exported models side by side, on validation images: quality, size, time and memory.

    python benchmarks/exported.py exported exported_int8 --photos data/photos --limit 60 --out exported.json
    python benchmarks/exported.py scenes_exported scenes_int8 --limit 60

Each runs in a process of its own, on the same images: panoptic segmentation, phrases and captions, as far as it has
these tasks, and their speed in seconds of processor time. Without photographs (docs/photos.md says which) the images
are generated scenes. `torch` in place of a folder is the toolkit with the embedded model, `torch:bfloat16` the same in
this precision.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xdet.cli.places import output_file
from xdet.io.writing import write_json

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('models', nargs='+', help='folders of exported models, torch, or torch:bfloat16')
    parser.add_argument('--photos', type=Path, help='folder of labelled photographs; without it, generated scenes')
    parser.add_argument('--limit', type=int, default=60, help='images that are judged (default: 60)')
    parser.add_argument('--captions', type=int, default=10, help='of these, images that are described (default: 10)')
    parser.add_argument('--timed', type=int, default=4, help='images that are timed (default: 4)')
    parser.add_argument('--out', type=output_file)
    parser.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args()


def load(model: str, embedded: str) -> tuple[Any, dict[str, float]]:
    """Inferencer, and what starting costs."""
    started = time.perf_counter()
    if model in ('torch', 'torch:bfloat16'):
        from xdet.apis import XDecoderInferencer

        inferencer: Any = XDecoderInferencer(embedded, device='cpu', precision=model.partition(':')[2] or 'single')
        size = Path(inferencer.origin.weights).stat().st_size
    else:
        from xdet.runtime import OnnxInferencer

        inferencer = OnnxInferencer(model, threads=int(os.environ.get('OMP_NUM_THREADS', '1')))
        size = sum(path.stat().st_size for path in Path(model).iterdir() if path.name != 'certificate.json')
    return inferencer, dict(start_s=time.perf_counter() - started, mb=size / 1e6)


def measure(model: str, photos: Path | None, limit: int, captions: int, timed: int) -> dict[str, Any]:
    """Speed first, as the evaluation imports the toolkit."""
    inferencer, row = load(model, 'scenes' if photos is None else 'photos')
    import numpy as np

    pictures = [np.load(path) for path in sorted(Path(os.environ['XDET_PICTURES']).glob('*.npy'))]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.process_time()
    inferencer(pictures[0], 'panoptic')
    row['first_mask_s'] = time.process_time() - started
    asked = 'the animal on the left' if photos is not None else 'a red circle'
    tasks: dict[str, dict[str, Any]] = dict(panoptic={}, refseg=dict(phrases=asked), caption={})
    for task, options in ((name, own) for name, own in tasks.items() if name in inferencer.task_names):
        inferencer(pictures[0], task, **options)
        spent = time.process_time()
        for picture in pictures[:timed]:
            inferencer.set_image(picture)
            inferencer.predict(task, **options)
        row[f'{task}_s'] = (time.process_time() - spent) / min(timed, len(pictures))
    row['memory_mb'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row['memory_before_mb'] = before
    if limit:
        row.update(judge(inferencer, photos, limit, captions))
    return row


def judge(inferencer: Any, photos: Path | None, limit: int, captions: int) -> dict[str, Any]:
    """Panoptic quality, cIoU of phrases, and captions, on validation images spread over the whole set."""
    import numpy as np
    import torch
    from mmengine.registry import init_default_scope

    from xdet.analysis.photo_report import photo_dataset
    from xdet.evaluation.panoptic_quality import ClassCounts, match_segments, summarise
    from xdet.model_zoo import EMBEDDED, find_config, load_config
    from xdet.registry import DATASETS
    from xdet.structures import Vocabulary, decode_mask

    init_default_scope('xdet')
    cfg = load_config(find_config(EMBEDDED['scenes' if photos is None else 'photos'].config))
    dataset = DATASETS.build(cfg.val_dataloader.dataset if photos is None else photo_dataset(cfg, photos))
    dataset.full_init()
    counts: dict[int, ClassCounts] = defaultdict(ClassCounts)
    common = union = 0
    texts: list[str] = []
    vocabulary: Vocabulary | None = None
    chosen = list(range(0, len(dataset), max(1, len(dataset) // limit)))[:limit]
    for number, index in enumerate(chosen):
        item = dataset[index]
        sample = item['data_samples']
        vocabulary = sample.vocabulary
        image: Any = sample.metainfo.get('img_path')
        if photos is None:
            image = np.ascontiguousarray(item['inputs'].numpy().transpose(1, 2, 0))
        inferencer.set_image(image)
        segments = inferencer.predict('panoptic', vocabulary=vocabulary)['predictions'][0]['segments']
        ids = torch.zeros(sample.ori_shape[:2], dtype=torch.int64)
        for segment in segments:
            ids[torch.from_numpy(decode_mask(segment['segmentation']))] = segment['id']
        truth = sample.gt_panoptic_seg
        for label, found in match_segments(truth.sem_seg.squeeze(0), truth.segments_info, ids, segments).items():
            counts[label] += found
        phrases = list(sample.metainfo.get('phrases') or ())
        if phrases and 'refseg' in inferencer.task_names:
            found_masks = inferencer.predict('refseg', phrases=phrases)['predictions'][0]['segments']
            for segment, mask in zip(found_masks, sample.gt_phrases.masks.bool().numpy(), strict=True):
                own = decode_mask(segment['segmentation'])
                common, union = common + (own & mask).sum(), union + (own | mask).sum()
        if number < captions and 'caption' in inferencer.task_names:
            texts.append(inferencer.predict('caption')['predictions'][0]['captions'][0]['text'])
    pq = summarise(dict(counts), vocabulary)['PQ']
    return dict(images=len(chosen), PQ=pq, cIoU=100 * float(common / union) if union else None, texts=texts)


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows as Markdown; captions are compared with those of the first model."""
    first = next(iter(rows.values()))['texts']
    lines = ['| model | MB | panoptic s | phrase s | caption s | PQ | cIoU | same captions |', '|' + '---|' * 8]
    for name, row in rows.items():
        same = f'{sum(map(str.__eq__, row["texts"], first))} of {len(first)}' if row['texts'] else ''
        times = ' | '.join(_number(row.get(f'{task}_s'), 3) for task in ('panoptic', 'refseg', 'caption'))
        quality = f'{_number(row["PQ"], 2)} | {_number(row["cIoU"], 2)} | {same}'
        lines.append(f'| `{Path(name).name}` | {row["mb"]:.1f} | {times} | {quality} |')
    return '\n'.join(lines)


def _number(value: float | None, digits: int) -> str:
    return '' if value is None else f'{value:.{digits}f}'


def main() -> None:
    """Entry point."""
    args = parse_args()
    if args.worker:
        print(json.dumps(measure(args.models[0], args.photos, args.limit, args.captions, args.timed)))
        return
    import tempfile

    import numpy as np

    from xdet.export.certificate import default_images

    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(default_images(2 * args.timed)):
            if number % 2 == bool(args.photos):  # photographs stand between scenes
                np.save(Path(folder, f'{number:03}.npy'), image)
        for model in args.models:
            counts = ['--limit', args.limit, '--captions', args.captions, '--timed', args.timed]
            counts += ['--photos', args.photos.resolve()] if args.photos else []
            command = [sys.executable, __file__, model, '--worker', *map(str, counts)]
            done = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, 'XDET_PICTURES': folder}, cwd=ROOT
            )
            if done.returncode:
                raise SystemExit(f'error: {model}: {done.stderr[-2000:]}')
            rows[model] = json.loads(done.stdout.splitlines()[-1])
            print(model, json.dumps(rows[model]), flush=True)
    if args.limit:
        print(table(rows))
    if args.out:
        write_json(args.out, rows, indent=1)


if __name__ == '__main__':
    main()
