"""Memory of one training step per setting: precision, checkpointing, averaged weights, accumulation.

    python benchmarks/train_memory.py xdecoder_focal-nano_scenes-joint --size 128 --batch-size 8
    python benchmarks/train_memory.py xdecoder_focal-t_8xb4-50e_coco-panoptic --size 1024 --batch-size 1 --device cuda

A step of segmentation on random images with ten segments each, AdamW. Weights, gradients, optimizer state and averages
are counted. The peak is, on a GPU, what torch's allocator reports; elsewhere the bytes of all tensors alive at once,
counted at every operation: exact for tensors, without workspaces of kernels and without fragmentation.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import xdet  # noqa: F401  (makes the OpenMMLab stack importable)
from xdet.cli.places import output_file
from xdet.io.writing import write_json
from xdet.model_zoo import find_config, load_config
from xdet.registry import MODELS
from xdet.structures import Vocabulary, XDetDataSample

CHECKPOINTED = ('backbone', 'decoder', 'text_encoder')
SETTINGS: dict[str, dict[str, Any]] = {
    'fp32': dict(),
    'bf16': dict(amp=True),
    'checkpointing': dict(checkpointing=True),
    'bf16, checkpointing': dict(amp=True, checkpointing=True),
    'EMA': dict(ema=True),
    'accumulation of 2': dict(accumulation=2),
}
SEGMENTS = 10
CLASSES = 133  # of COCO panoptic


def build(cfg: Config, checkpointing: bool) -> nn.Module:
    """The model of a config with random weights."""
    model = copy.deepcopy(cfg.model)
    for part in CHECKPOINTED:
        model[part].with_cp = checkpointing
    return MODELS.build(model).train()


def random_batch(batch_size: int, size: int) -> dict[str, list]:
    """Images of noise with vertical stripes as segments."""
    vocabulary = Vocabulary.from_prompts(classes=[f'thing {index}' for index in range(CLASSES)])
    samples = []
    for index in range(batch_size):
        masks = torch.zeros(SEGMENTS, size, size, dtype=torch.bool)
        for segment in range(SEGMENTS):
            masks[segment, :, segment * size // SEGMENTS : (segment + 1) * size // SEGMENTS] = True
        labels = torch.arange(SEGMENTS) + index
        meta = dict(vocabulary=vocabulary, img_shape=(size, size), ori_shape=(size, size), pad_shape=(size, size))
        sample = XDetDataSample(metainfo=meta)
        sample.gt_segments = InstanceData(masks=masks, labels=labels)
        samples.append(sample)
    images = [torch.randint(0, 256, (3, size, size), dtype=torch.uint8) for _ in range(batch_size)]
    return dict(inputs=images, data_samples=samples)


def num_bytes(tensors: Any) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def measure(
    cfg: Config,
    batch: dict[str, list],
    device: str,
    amp: bool = False,
    checkpointing: bool = False,
    ema: bool = False,
    accumulation: int = 1,
) -> dict[str, float]:
    """GiB of what a training keeps, and at the peak of a step."""
    torch.manual_seed(0)
    model = build(cfg, checkpointing).to(device)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # makes the optimizer's state
    optimizer.zero_grad()
    average = copy.deepcopy(model) if ema else None

    def step() -> None:
        for _ in range(accumulation):
            data = model.data_preprocessor(copy.deepcopy(batch), training=True)
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=amp):
                losses = model(**data, mode='loss')
            sum(losses.values()).backward()
        optimizer.step()

    kept = dict(
        weights=num_bytes(model.parameters()),
        gradients=num_bytes(parameters),
        optimizer=num_bytes(value for state in optimizer.state.values() for value in state.values()),
        average=num_bytes(average.parameters()) if average is not None else 0,
    )
    begin = time.perf_counter()
    peak = _peak_of(step, model, optimizer, average, device)
    seconds = time.perf_counter() - begin
    result = {f'{key}_gib': value / 2**30 for key, value in kept.items()}
    return {**result, 'peak_gib': peak / 2**30, 'seconds': seconds}


def _peak_of(
    step: Any, model: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None, device: str
) -> int:
    if device.startswith('cuda'):
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated()
    with LiveBytes() as live:
        live.add([*model.parameters(), *model.buffers(), *(() if average is None else average.parameters())])
        live.add(value for state in optimizer.state.values() for value in state.values())
        step()
    return live.peak


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations have returned and that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Count tensors that are there already, or new ones."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._known:
                self._known.add(key)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._remove, key, storage.nbytes())
        self.peak = max(self.peak, self.now)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.add(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result


def main() -> None:
    """Measure, print as a table; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='name or path of a config')
    parser.add_argument('--size', type=int, default=1024, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--settings', nargs='+', choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args()
    cfg = load_config(find_config(args.config))
    batch = random_batch(args.batch_size, args.size)
    results = {}
    for name in args.settings:
        results[name] = {
            key: round(value, 3) for key, value in measure(cfg, batch, args.device, **SETTINGS[name]).items()
        }
        print(f'{name}: {json.dumps(results[name])}', flush=True)
    if args.out:
        facts = dict(config=args.config, size=args.size, batch_size=args.batch_size, device=args.device)
        write_json(args.out, dict(**facts, torch=torch.__version__, settings=results), indent=2)


if __name__ == '__main__':
    main()
