"""Pictures of test predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.registry import HOOKS
from xdet.structures import XDetDataSample


@HOOKS.register_module()
class DrawPredictionsHook(Hook):
    """Draws every tested picture, ground truth beside prediction.

    Unlike ``mmdet.DetVisualizationHook`` it also draws pictures that lie in no file, and keeps pictures of equal name
    apart by their position in the test.

    Args:
        out_dir (str): Folder below the work dir.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = out_dir

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[XDetDataSample]
    ) -> None:
        """Draw the pictures of one batch."""
        folder = Path(runner.work_dir, runner.timestamp, self.out_dir)
        for position, (pixels, sample) in enumerate(zip(data_batch['inputs'], outputs, strict=True)):
            path = Path(str(sample.metainfo.get('img_path', 'picture')))
            image = mmcv.imread(str(path)) if path.is_file() else _network_input(pixels, sample)
            name = f'{path.stem}_{batch_idx}_{position}'
            runner.visualizer.add_datasample(
                name, mmcv.bgr2rgb(image), data_sample=sample, out_file=str(folder / f'{name}.png'), step=batch_idx
            )


def _network_input(pixels, sample: XDetDataSample) -> np.ndarray:
    """The BGR picture the network saw, in the size of the results."""
    height, width = sample.ori_shape[:2]
    return mmcv.imresize(pixels.cpu().numpy().transpose(1, 2, 0), (width, height))
