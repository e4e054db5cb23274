"""Time and memory of an image in xdet and in other models, with random weights, in turn on the same machine.

    python benchmarks/peers_speed.py --out peers_speed.json
    python benchmarks/peers_speed.py --models xdet clipseg --phrases 1 10 100

Every model runs in a process of its own with one thread and sees pixels of the same size (CLIPSeg its own, 352x352,
which its positions are made for). Measured is the least processor time, and the most memory beyond the loaded model.

* Segmentation goes from pixels to class scores of all queries and masks of stride 4. xdet compares queries with class
  names, however many; its text tower embeds each name once (``names embedded``: ten, and "no object", in 81 templates),
  not in the pass. The others have a fixed list of classes, so their time does not depend on it.
* Phrases: a mask for each. xdet encodes the image once, CLIPSeg as its authors run it once per phrase.

The peers are those of ``transformers`` (``mask2former``, ``oneformer`` with Swin-T; ``clipseg`` with ViT-B/16) and of
MMDetection (``mmdet``: Mask2Former with Swin-T). What cannot be imported is left out, and said.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from process_memory import peak_memory

from xdet.cli.places import output_file
from xdet.io.writing import write_json

SWIN_T = dict(embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7, drop_path_rate=0.3)
STAGES = [f'stage{number}' for number in (1, 2, 3, 4)]
CLASSES = 133
_run: dict[str, Callable[[int], Any]] = {}
_about: dict[str, Any] = {}


def xdet(pixels: Any) -> tuple[Any, dict[str, Callable[[int], Any]]]:
    """Focal-T as released."""
    import torch
    from mmengine.registry import init_default_scope

    from xdet.model_zoo import find_config, load_config
    from xdet.models.text import TextCache
    from xdet.registry import MODELS
    from xdet.structures import TextPrompts, Vocabulary, XDetDataSample

    init_default_scope('xdet')
    model = MODELS.build(load_config(find_config('xdecoder_focal-t')).model).eval()
    tables = {}

    def segment(names: int) -> Any:
        features = model.encode(pixels)
        last = model.latent_pass(features).outputs.last
        if names not in tables:
            tables[names] = torch.nn.functional.normalize(torch.randn(names + 1, model.text_encoder.embed_dims), dim=1)
        classes = torch.nn.functional.normalize(last.class_embed[0, :-1], dim=-1) @ tables[names].T
        return classes, last.mask_embed[0, :-1] @ features.mask_features[0].flatten(1)

    def phrases(count: int) -> Any:
        size = tuple(pixels.shape[-2:])
        sample = XDetDataSample(metainfo=dict(img_shape=size, ori_shape=size, batch_input_shape=size))
        texts = tuple(f'the red car number {number} on the left' for number in range(count))
        TextPrompts(tasks=('refseg',), phrases=texts).apply(sample, 'image')
        model.texts.clear()  # so that phrases are encoded in every run, as the peers do
        return model.predict(pixels, [sample])

    def embed(count: int) -> Any:
        names = Vocabulary(tuple(f'thing {number}' for number in range(count)), (True,) * count)
        return TextCache(model.text_encoder).classes(names)

    return model, {'segmentation': segment, 'phrases': phrases, 'names embedded': embed}


def mask2former(pixels: Any) -> tuple[Any, dict[str, Callable[[int], Any]]]:
    """That of transformers."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    config = Mask2FormerConfig(backbone_config=SwinConfig(**SWIN_T, out_features=STAGES), num_labels=CLASSES)
    model = Mask2FormerForUniversalSegmentation(config).eval()
    return model, {'segmentation': lambda _: model(pixel_values=pixels)}


def oneformer(pixels: Any) -> tuple[Any, dict[str, Callable[[int], Any]]]:
    """That of transformers; its task is a text, too, of 77 tokens."""
    import torch
    from transformers import OneFormerConfig, OneFormerForUniversalSegmentation, SwinConfig

    config = OneFormerConfig(backbone_config=SwinConfig(**SWIN_T, out_features=STAGES), num_labels=CLASSES)
    model, task = OneFormerForUniversalSegmentation(config).eval(), torch.randint(0, 1000, (1, 77))
    return model, {'segmentation': lambda _: model(pixel_values=pixels, task_inputs=task)}


def clipseg(pixels: Any) -> tuple[Any, dict[str, Callable[[int], Any]]]:
    """That of transformers, 16 pixels per patch, 64 channels in its decoder."""
    import torch
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    vision = dict(patch_size=16, image_size=352)
    model = CLIPSegForImageSegmentation(CLIPSegConfig(vision_config=vision, projection_dim=512)).eval()
    small = torch.nn.functional.interpolate(pixels, size=(352, 352), mode='bilinear')

    def phrases(count: int) -> Any:
        ids = torch.randint(1, 40000, (count, 11))
        ids[:, -1] = 49407
        return model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=small.expand(count, -1, -1, -1))

    return model, {'phrases': phrases}


def mmdet(pixels: Any) -> tuple[Any, dict[str, Callable[[int], Any]]]:
    """Mask2Former of MMDetection."""
    import xdet.models  # noqa: F401  # prepares the stack; without it mmdet may not be importable
    import mmdet.models  # isort: skip
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    name = 'mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco-panoptic.py'
    config = Config.fromfile(Path(mmdet.__file__).parent / '.mim' / 'configs' / 'mask2former' / name)
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model).eval()
    sample = DetDataSample(metainfo=dict(batch_input_shape=tuple(pixels.shape[-2:]), img_shape=pixels.shape[-2:]))
    return model, {'segmentation': lambda _: model.panoptic_head(model.extract_feat(pixels), [sample])}


PEERS = {'xdet': xdet, 'mask2former': mask2former, 'oneformer': oneformer, 'clipseg': clipseg, 'mmdet': mmdet}


def load(name: str, height: int, width: int) -> None:
    """Make a process ready."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, runs = PEERS[name](torch.randn(1, 3, height, width))
    _run.update(runs)
    _about['parameters'] = sum(parameter.numel() for parameter in model.parameters())


def about() -> dict[str, Any]:
    """Parameters, and what it can do."""
    return dict(_about, runs=list(_run))


def measure(what: str, count: int) -> tuple[float, float]:
    """Seconds of processor time and MiB of a run."""
    import torch

    with torch.no_grad(), peak_memory() as peak:
        start = time.process_time()
        result = _run[what](count)
        seconds = time.process_time() - start
        del result
    return seconds, peak[0]


def main() -> None:
    """Measure in turn, print a table; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', nargs='+', default=list(PEERS), choices=list(PEERS))
    parser.add_argument('--size', default='512x672', help='height x width, multiples of 32')
    parser.add_argument('--names', type=int, nargs='+', default=[1, 10, 100, 1000], help='of segmentation, xdet alone')
    parser.add_argument('--phrases', type=int, nargs='+', default=[1, 10])
    parser.add_argument('--repeats', type=int, default=2, help='the best of so many runs counts')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args()
    height, width = map(int, args.size.split('x'))
    context, workers, rows = multiprocessing.get_context('spawn'), {}, {}
    for name in args.models:
        worker = ProcessPoolExecutor(1, context, load, (name, height, width))
        try:
            facts = worker.submit(about).result()
        except Exception as error:  # of whatever kind: the peer is another project's
            print(f'{name} is left out: {error or type(error).__name__}', file=sys.stderr)
            continue
        workers[name] = worker
        counts = {'segmentation': args.names if name == 'xdet' else [CLASSES], 'phrases': args.phrases}
        for what in facts['runs']:
            for count in counts.get(what, [10]):
                rows[name, what, count] = dict(s=math.inf, parameters=facts['parameters'])
    for _ in range(args.repeats):
        for (name, what, count), row in rows.items():
            seconds, peak = workers[name].submit(measure, what, count).result()
            row['s'] = min(row['s'], seconds)
            row.setdefault('MiB', peak)
    print('| model | million parameters | what | number | s | MiB |\n|---|---|---|---|---|---|')
    for (name, what, count), row in rows.items():
        print(f'| {name} | {row["parameters"] / 1e6:.0f} | {what} | {count} | {row["s"]:.2f} | {row["MiB"]:.0f} |')
    if args.out:
        found = [dict(model=name, what=what, number=count, **row) for (name, what, count), row in rows.items()]
        write_json(args.out, dict(size=args.size, rows=found), indent=2)


if __name__ == '__main__':
    main()
