"""Certificate of a full-size architecture without its weights: random ones from a seed, exported and compared.

    python benchmarks/exported_architecture.py --out-dir exported_focal_t

Segmentation and phrases by default, with images of four shapes in small network sizes; a certificate for use
(`tools/deployment/export_onnx.py`) has 20 images in the sizes of the config. All masks count, as untrained scores mean
nothing. Nothing but a difference of outputs is judged: random masks change at the slightest difference.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config

from xdet.apis import XDecoderInferencer
from xdet.export.certificate import certify, default_images
from xdet.export.exporting import export
from xdet.model_zoo import find_config


def build(name: str, tasks: list[str], side: int) -> XDecoderInferencer:
    """The model of a config with some of its tasks, weights of a seed, and smaller sizes of images."""
    cfg = Config.fromfile(str(find_config(name)))
    cfg.model.tasks = {task: cfg.model.tasks[task] for task in tasks}
    for number, pipeline in enumerate((cfg.inference_pipeline, *cfg.task_pipelines.values())):
        for step in pipeline:
            if step['type'] == 'ResizeShortestEdge':
                step['scale'] = side if number == 0 else side * 3 // 4
    torch.manual_seed(0)
    inferencer = XDecoderInferencer(cfg, device='cpu', random_weights=True)
    for parameter in inferencer.model.parameters():
        if parameter.dim() > 1:  # larger than untrained ones, with which everything looks alike
            torch.nn.init.normal_(parameter, std=1 / math.sqrt(parameter[0].numel()))
    task = inferencer.model.tasks['segmentation'] if 'segmentation' in tasks else None
    if task is not None:
        task.object_mask_threshold = task.overlap_threshold = 0.0
    return inferencer


def main() -> None:
    """Export, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='xdecoder_focal-t', help='name of a shipped config')
    parser.add_argument('--tasks', nargs='+', default=['segmentation', 'referring'], help='task adapters of its model')
    parser.add_argument('--side', type=int, default=256, help='shortest side that the network sees')
    parser.add_argument('--out-dir', required=True, help='new folder')
    args = parser.parse_args()
    torch.set_num_threads(1)
    inferencer = build(args.model, args.tasks, args.side)
    images = [default_images(10)[index] for index in (1, 3, 6, 9)]  # landscape, portrait, long, tall
    prove = partial(certify, inferencer, images=images, agreement=0, least=len(images))
    start = time.process_time()
    folder = export(inferencer, args.out_dir, prove, say=partial(print, flush=True))
    certificate = json.loads((Path(folder) / 'certificate.json').read_text(encoding='utf-8'))
    shown = {key: certificate[key] for key in ('images', 'sizes', 'outputs', 'agreement', 'versions')}
    print(json.dumps(shown, indent=2))
    size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
    print(f'{size:.0f} MB, {time.process_time() - start:.0f} s of processor time')


if __name__ == '__main__':
    main()
