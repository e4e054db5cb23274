"""Images of predictions, drawn while a model is tested or validated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.registry import HOOKS
from xdet.structures import XDetDataSample
from xdet.visualization.drawing import picture_of

DURING = ('test', 'val')
TRACKED = 8
"""Images of a validation that other backends than files get; a training keeps all of them."""

_GROUND_TRUTH = ('gt_panoptic_seg', 'gt_instances', 'gt_sem_seg', 'gt_phrases')


@HOOKS.register_module()
class DrawPredictionsHook(Hook):
    """Draws predictions beside the ground truth, into ``WORK_DIR/TIMESTAMP/<out_dir>``.

    The first images of every validation also go to TensorBoard and the like, where a slider shows how they change.

    The images of validations lie in a folder per validation, ``iter_100`` and so on. Unlike
    ``mmdet.DetVisualizationHook`` it also draws images that lie in no file, and keeps images of equal name apart by
    their position in the test. Every process draws its own.

    Args:
        out_dir (str): Folder below ``WORK_DIR/TIMESTAMP``, or an absolute path.
        interval (int): Draw every so many batches, beginning with the first.
        during (str): ``'test'`` or ``'val'``, the validations of a training.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, out_dir: str, interval: int = 1, during: str = 'test') -> None:
        if during not in DURING:
            raise ValueError(f"DrawPredictionsHook: during is '{during}'; accepted are {', '.join(DURING)}")
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f'DrawPredictionsHook: interval is {interval!r}; accepted are integers from 1')
        self.out_dir = out_dir
        self.interval = interval
        self.during = during
        self._warned = False

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[XDetDataSample]
    ) -> None:
        """Draw the images of a batch of the test."""
        if self.during == 'test':
            self._draw(runner, self._folder(runner), batch_idx, data_batch, outputs)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[XDetDataSample]
    ) -> None:
        """Draw the images of a batch of a validation."""
        if self.during == 'val':
            self._draw(runner, self._folder(runner) / f'iter_{runner.iter}', batch_idx, data_batch, outputs)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Say where the images are."""
        if self.during == 'test':
            runner.logger.info(f'predictions are drawn in {self._folder(runner)}')

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Say where the images are."""
        if self.during == 'val':
            runner.logger.info(f'predictions are drawn in {self._folder(runner) / f"iter_{runner.iter}"}')

    def _folder(self, runner: Runner) -> Path:
        return Path(runner.work_dir, runner.timestamp, self.out_dir)

    def _draw(self, runner: Runner, folder: Path, batch_idx: int, data_batch: dict, outputs: Sequence) -> None:
        if batch_idx % self.interval:
            return
        # Batches of several processes have the same numbers.
        rank, processes = get_dist_info()
        number = batch_idx * processes + rank
        for position, (pixels, sample) in enumerate(zip(data_batch['inputs'], outputs, strict=True)):
            self._warn_once(runner, sample)
            path = Path(str(sample.metainfo.get('img_path', 'picture')))
            name = f'{path.stem}_{number}_{position}'
            picture, out_file = picture_of(pixels, sample), str(folder / f'{name}.png')
            runner.visualizer.add_datasample(name, picture, data_sample=sample, out_file=out_file, step=number)
            if self.during == 'val' and number // self.interval * len(outputs) + position < TRACKED:
                runner.visualizer.track_image(f'{self.out_dir}/{name}', runner.iter)

    def _warn_once(self, runner: Runner, sample: XDetDataSample) -> None:
        if not self._warned and 'vocabulary' in sample and not any(name in sample for name in _GROUND_TRUTH):
            self._warned = True
            runner.logger.warning(
                'predictions are drawn without ground truth: the dataset has none, or its pipeline lacks LoadSegments '
                'after resizing'
            )
