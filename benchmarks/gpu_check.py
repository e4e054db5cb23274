"""Whether xdet agrees with the CPU on a GPU, how fast it is there, and whether it trains; one JSON line per result.

    python benchmarks/gpu_check.py --out gpu_check.jsonl
    python benchmarks/gpu_check.py --dry --out dry.jsonl        # the same on a CPU, small, to test this script

Sections are independent: one that fails is reported and the next one runs, until ``--seconds`` are used up. Weights are
random but for the trainings, which start from the model that comes with the package. Needs nothing but the package.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xdet.apis import XDecoderInferencer
from xdet.model_zoo import EMBEDDED

NAMES = dict(things=['dog', 'cat'], stuff=['sky'])
PROMPTS: dict[str, dict[str, Any]] = {
    'panoptic': NAMES,
    'semantic': NAMES,
    'instance': dict(things=['dog', 'cat']),
    'refseg': dict(phrases=['a dog', 'the left cat']),
    'caption': dict(max_tokens=12),
    'classification': dict(classes=['dog', 'cat']),
    'retrieval': dict(texts=['a dog']),
}
ODD_SIZES = ((1, 1), (9, 17), (20, 2000), (2000, 20))
DTYPES = dict(fp32=None, tf32=None, bf16=torch.bfloat16, fp16=torch.float16)
# Methods of Check; the quick ones come first.
SECTIONS = ('agreement', 'tasks', 'odd_sizes', 'training', 'speed', 'whole_calls', 'compilation')


class Check:
    """The sections; each method is one."""

    def __init__(self, dry: bool, seconds: float, out: str | None) -> None:
        self.dry, self.seconds = dry, seconds
        self.device = 'cpu' if dry else 'cuda'
        self.begin = time.monotonic()
        self.log = open(out, 'w', encoding='utf-8') if out else None  # noqa: SIM115  open until the end of the program
        self.random = np.random.default_rng(0)
        model = 'xdecoder_focal-nano' if dry else 'xdecoder_focal-t'
        self.size = (96, 128) if dry else (800, 1344)
        self.host, self.card = (
            XDecoderInferencer(model, random_weights=True, device=device) for device in ('cpu', self.device)
        )
        self.card.model.load_state_dict(self.host.model.state_dict())

    def run(self, sections: Sequence[str]) -> None:
        """Run these methods one after the other."""
        exact_float32(True)
        name = 'cpu' if self.dry else torch.cuda.get_device_name()
        self.say('machine', torch=torch.__version__, device=name)
        for section in sections:
            if time.monotonic() - self.begin > self.seconds:
                self.say(section, skipped='no time left')
                continue
            try:
                getattr(self, section)()
            except Exception:  # noqa: BLE001  the next section shall run
                self.say(section, failed=traceback.format_exc()[-1500:])

    def say(self, section: str, **row: Any) -> None:
        line = json.dumps(dict(section=section, **row, at_s=round(time.monotonic() - self.begin, 1)))
        print(line, flush=True)
        if self.log:
            self.log.write(line + '\n')
            self.log.flush()

    def agreement(self) -> None:
        """Largest differences from float32 on the CPU, also as a share of the RMS."""
        images = torch.randn(1, 3, 192, 256, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            want = self.host.model(images)
            for kind in ('fp32', 'bf16') if self.dry else ('fp32', 'bf16', 'fp16'):
                with self.precision(kind):
                    got = self.card.model(images.to(self.device))
                self.say(
                    'agreement',
                    precision=kind,
                    mask_features=difference(got.mask_features, want.mask_features),
                    class_embed=difference(got.last.class_embed, want.last.class_embed),
                )

    def tasks(self) -> None:
        """Results of every task: equal texts and structure, largest difference of scores."""
        image = self.random.integers(0, 255, (240, 320, 3), np.uint8)
        for task, prompts in PROMPTS.items():
            one, two = (
                inferencer(image, task=task, show_progress=False, **prompts)['predictions'][0]
                for inferencer in (self.host, self.card)
            )
            self.say('tasks', task=task, **compare(one, two))

    def odd_sizes(self) -> None:
        for height, width in ODD_SIZES:
            image = self.random.integers(0, 255, (height, width, 3), np.uint8)
            self.card(image, task='semantic', show_progress=False, **NAMES)
            self.say('odd_sizes', height=height, width=width, passed=True)

    def training(self) -> None:
        """A few joint steps of all tasks in every precision, resumed, compiled, and with one process of several."""
        steps = 2 if self.dry else 40
        amp = {dtype: ('--amp', dtype) for dtype in ('bf16', 'fp16')}
        with tempfile.TemporaryDirectory() as runs:
            for name, options, settings in (
                ('fp32', (), ()),
                ('bf16', amp['bf16'], ()),
                ('fp16', amp['fp16'], ()),
                ('fp16', (*amp['fp16'], '--resume'), (f'train_cfg.max_iters={2 * steps}',)),
                ('compiled', ('--compile',), ()),
                ('ddp', (), ()),
                ('fsdp', amp['bf16'], ('fsdp.reshard_after_forward=True',)),
            )[: 1 if self.dry else None]:
                self.train(Path(runs) / name, name, options, steps, settings)

    def train(
        self, folder: Path, name: str, options: tuple[str, ...], iterations: int, settings: tuple[str, ...]
    ) -> None:
        distributed = name in ('ddp', 'fsdp')
        start = ('bash', 'tools/dist_train.sh') if distributed else (sys.executable, 'tools/train.py')
        command = (
            *start,
            'xdecoder_focal-nano_scenes-joint',
            *(('1',) if distributed else ()),
            *('--weights', str(EMBEDDED['scenes'].weights), '--work-dir', str(folder), *options),
            '--cfg-options',
            f'train_cfg.max_iters={iterations}',
            f'train_cfg.val_interval={10 * iterations}',
            'default_hooks.logger.interval=1',
            f'default_hooks.checkpoint.interval={max(1, iterations // 2)}',
            'param_scheduler=[]',
            *settings,
        )
        begin = time.monotonic()
        left = max(60.0, self.seconds - (begin - self.begin))
        environment = {**os.environ, 'PYTHONPATH': '.', 'PYTHON': sys.executable}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=left, env=environment)
        except subprocess.TimeoutExpired:
            self.say('training', run=' '.join((name, *options)), stopped_after_s=round(left))
            return
        lines = [line for line in (done.stdout + done.stderr).splitlines() if 'Iter(train)' in line or 'error' in line]
        self.say(
            'training',
            run=' '.join((name, *options)),
            exit_status=done.returncode,
            seconds=round(time.monotonic() - begin),
            last=(lines or [done.stderr[-600:]])[-1][:400],
        )

    def speed(self) -> None:
        """Median seconds and peak memory of the stages."""
        model = self.card.model
        for kind in ('fp32',) if self.dry else DTYPES:
            for batch in (1,) if self.dry else (1, 4, 8):
                images = torch.randn(batch, 3, *self.size, device=self.device)
                with torch.no_grad(), self.precision(kind):
                    maps = tuple(model.backbone(images))
                    features = model.encode(images)
                    stages: dict[str, Callable[[], Any]] = dict(
                        backbone=lambda images=images: model.backbone(images),
                        pixel_decoder=lambda maps=maps: model.pixel_decoder(maps),
                        decoder=lambda features=features, batch=batch: model.decoder(
                            features, model.decoder.latent_queries(batch)
                        ),
                        encode=lambda images=images: model.encode(images),
                    )
                    times = {name: self.clock(stage) for name, stage in stages.items()}
                self.say('speed', precision=kind, batch=batch, size=self.size, **times)

    def whole_calls(self) -> None:
        """From a decoded image to results, in float32."""
        image = self.random.integers(0, 255, (*(self.size if self.dry else (600, 1000)), 3), np.uint8)
        for task, prompts in (
            ('panoptic', NAMES),
            ('refseg', dict(phrases=['a dog'] * 10)),
            ('caption', dict(max_tokens=12)),
        ):
            run = lambda task=task, prompts=prompts: self.card(image, task=task, show_progress=False, **prompts)  # noqa: E731
            self.say('whole_calls', task=task, **self.clock(run))

    def compilation(self) -> None:
        if self.dry:
            self.say('compilation', skipped='needs a GPU')
            return
        images = torch.randn(1, 3, *self.size, device=self.device)
        compiled = torch.compile(self.card.model.encode)
        with torch.no_grad():
            eager = self.clock(lambda: self.card.model.encode(images))
            self.say('compilation', eager=eager, compiled=self.clock(lambda: compiled(images)))

    @contextlib.contextmanager
    def precision(self, kind: str) -> Any:
        exact_float32(kind != 'tf32')
        dtype = DTYPES[kind]
        with torch.autocast(self.device, dtype=dtype, enabled=dtype is not None):
            yield
        exact_float32(True)

    def clock(self, function: Callable[[], Any], repeats: int = 5) -> dict[str, float]:
        """Median seconds after one run for warming up, and peak MiB on a GPU."""
        function()
        if self.device == 'cuda':
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(1 if self.dry else repeats):
            begin = time.perf_counter()
            function()
            if self.device == 'cuda':
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.device == 'cuda' else 0
        return dict(median_s=round(float(np.median(times)), 4), peak_mib=round(peak))


def exact_float32(exact: bool) -> None:
    """Whether CUDA multiplies in float32 or in TensorFloat-32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not exact


def difference(value: Tensor, reference: Tensor) -> dict[str, float]:
    error = (value.float().cpu() - reference.float().cpu()).abs().max()
    return dict(max=float(error), of_rms=float(error / reference.float().pow(2).mean().sqrt()))


def compare(one: Any, two: Any) -> dict[str, Any]:
    """Whether two JSON-like results are equal but for numbers, and the largest difference of those.

    Run-length codes of masks are left out: a pixel on the border of a mask may differ.
    """
    same, largest = True, 0.0
    pairs = [(one, two)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            same &= left.keys() == right.keys()
            pairs += [(left[key], right[key]) for key in left.keys() & right.keys() - {'segmentation', 'files'}]
        elif isinstance(left, list) and isinstance(right, list):
            same &= len(left) == len(right)
            pairs += zip(left, right, strict=False)
        elif isinstance(left, float) and isinstance(right, float):
            largest = max(largest, abs(left - right))
        else:
            same &= left == right
    return dict(same=same, largest_difference=largest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', metavar='FILE.jsonl', help='also write the lines here')
    parser.add_argument(
        '--sections', nargs='+', choices=SECTIONS, default=SECTIONS, metavar='NAME', help='some of them'
    )
    parser.add_argument('--seconds', type=float, default=480, help='start no section after so long')
    parser.add_argument('--dry', action='store_true', help='on the CPU, with a small model and few repeats')
    args = parser.parse_args()
    torch.manual_seed(0)
    Check(args.dry, args.seconds, args.out).run(args.sections)


if __name__ == '__main__':
    main()
