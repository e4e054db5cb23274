"""Pictures of test predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

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
            name = f'{path.stem}_{batch_idx}_{position}'
            image = picture_of(pixels, sample)
            runner.visualizer.add_datasample(
                name, image, data_sample=sample, out_file=str(folder / f'{name}.png'), step=batch_idx
            )


def picture_of(pixels: Tensor, sample: XDetDataSample) -> np.ndarray:
    """RGB picture of a sample in the size of its results, from its file if there is one.

    Args:
        pixels (Tensor): BGR ``[3, h, w]`` as the network saw it, 0 to 255.
        sample (XDetDataSample): With ``ori_shape`` and maybe ``img_path``.
    """
    height, width = sample.ori_shape[:2]
    path = Path(str(sample.metainfo.get('img_path', 'picture')))
    image = mmcv.imread(str(path)) if path.is_file() else pixels.cpu().numpy().transpose(1, 2, 0)
    if image.shape[:2] != (height, width):
        image = mmcv.imresize(image, (width, height))
    return mmcv.bgr2rgb(np.ascontiguousarray(image))
