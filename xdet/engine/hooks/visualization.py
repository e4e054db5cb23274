"""Pictures of test predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.registry import HOOKS
from xdet.structures import XDetDataSample
from xdet.visualization.drawing import picture_of


@HOOKS.register_module()
class DrawPredictionsHook(Hook):
    """Draws every tested picture, ground truth beside prediction.

    Unlike ``mmdet.DetVisualizationHook`` it also draws images that lie in no file, keeps images of equal name apart by
    their position in the test, and draws those of all processes.

    Args:
        out_dir (str): Folder below the work dir.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = out_dir

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[XDetDataSample]
    ) -> None:
        """Draw the pictures of one batch."""
        rank, processes = get_dist_info()
        number = batch_idx * processes + rank
        folder = Path(runner.work_dir, runner.timestamp, self.out_dir)
        for position, (pixels, sample) in enumerate(zip(data_batch['inputs'], outputs, strict=True)):
            path = Path(str(sample.metainfo.get('img_path', 'picture')))
            name = f'{path.stem}_{number}_{position}'
            image = picture_of(pixels, sample)
            runner.visualizer.add_datasample(
                name, image, data_sample=sample, out_file=str(folder / f'{name}.png'), step=number
            )
