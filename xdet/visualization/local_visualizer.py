"""Draws samples: segments with their names, regions with their words, texts below the picture."""

from __future__ import annotations

import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import LocalVisBackend, Visualizer

from xdet.io.writing import write_image
from xdet.registry import VISUALIZERS
from xdet.structures import XDetDataSample

from .panels import Panels
from .sample_texts import marked_names, paragraphs
from .text_strip import add_text_strip

_GAP = 6  # white pixels between panels


@VISUALIZERS.register_module()
class XDetLocalVisualizer(Visualizer):
    """Visualizer for any vocabulary: names and colours come from the sample, not from a fixed class list.

    Called like mmdet's ``DetLocalVisualizer``, and takes its mask types.

    The names of a sample are those of its ``vocabulary``; without one, ``dataset_meta['classes']``; without these,
    ``class 3`` and so on. Colours follow from names (:func:`~xdet.visualization.palette.class_colors`) unless
    ``dataset_meta['palette']`` fits.

    Args:
        name (str): Name of the instance.
        image (np.ndarray, optional): RGB image to start with.
        vis_backends (list, optional): Configs of MMEngine's visualisation backends.
        save_dir (str, optional): Folder of the backends.
        alpha (float): Opacity of the tint of segments, from 0 to 1.
        min_size (int): Pictures whose longer side is shorter are enlarged by a whole factor, so that names can be read.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        image: np.ndarray | None = None,
        vis_backends: list | dict | None = None,
        save_dir: str | None = None,
        alpha: float = 0.5,
        min_size: int = 480,
    ) -> None:
        super().__init__(name=name, image=image, vis_backends=vis_backends, save_dir=save_dir)
        self.alpha = alpha
        self.dataset_meta: dict = {}
        self._drawn = np.zeros((1, 1, 3), np.uint8)
        if not 0 <= alpha <= 1:
            raise ValueError(f'alpha is {alpha}; accepted are numbers from 0 to 1')
        self.min_size = min_size

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: XDetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw a sample and hand the picture to a file, a window or the backends; arguments as in mmdet.

        Of several processes all write files, and the first one fills windows and backends.

        Args:
            name (str): Title of the picture.
            image (np.ndarray): RGB ``[H, W, 3]``.
            data_sample (XDetDataSample, optional): What to draw; None shows the plain image.
            draw_gt (bool): Draw the ground truth, when there is one.
            draw_pred (bool): Draw every kind of prediction the sample has, one panel each.
            show (bool): Open a window.
            wait_time (float): Seconds the window stays; 0 means until a key is pressed.
            out_file (str, optional): Write the picture here instead of to the backends.
            pred_score_thr (float): Instances with a lower score are not drawn.
            step (int): Step under which backends file the picture.
        """
        drawn = self.draw(image, data_sample, draw_gt, draw_pred, pred_score_thr)
        self._drawn = drawn
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_image(out_file, drawn, quality=95)
        else:
            self.add_image(name, drawn, step)

    @master_only
    def track_image(self, name: str, step: int) -> None:
        """Hand the last picture to the backends that follow trainings, such as TensorBoard, but not to files again."""
        for backend in self._vis_backends.values():
            if not isinstance(backend, LocalVisBackend):
                backend.add_image(name, self._drawn, step)

    def draw(
        self,
        image: np.ndarray,
        data_sample: XDetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        pred_score_thr: float = 0.3,
        color_by: str = 'class',
        draw_texts: bool = True,
    ) -> np.ndarray:
        """The picture of a sample: ground truth on the left, then one panel per kind of prediction, texts below.

        Args:
            image (np.ndarray): RGB ``[H, W, 3]`` (or grey ``[H, W]``), values 0 to 255.
            data_sample (XDetDataSample, optional): What to draw.
            draw_gt (bool): Draw the ground truth.
            draw_pred (bool): Draw the predictions.
            pred_score_thr (float): Instances and phrases with a lower score are not drawn.
            color_by (str): ``'class'`` gives instances of a class shades of one colour, ``'instance'`` colours of
                their own; stuff has the colour of its class.
            draw_texts (bool): Write captions, answers and the like below.

        Returns:
            np.ndarray: RGB uint8; larger than the image when it is small, has several panels, or texts.
        """
        image = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        sample = data_sample.cpu() if data_sample is not None else XDetDataSample()
        palette = self.dataset_meta.get('palette') if self.dataset_meta else None
        panels = Panels(image, self._classes_of(sample), palette, color_by, self.alpha, self.min_size)
        pictures: list[np.ndarray] = []
        if draw_gt:
            for field in [field for field in _GROUND_TRUTH if field in sample][:1]:
                pictures += panels.of(sample, field, 0.0)
        if draw_pred:
            # Captions are drawn with the regions of their phrases, and poses with the masks of their instances.
            drawn_with = {'pred_phrases': 'pred_region_captions', 'pred_instances': 'pred_poses'}
            for field in _PREDICTIONS:
                if field in sample and drawn_with.get(field) not in sample:
                    pictures += panels.of(sample, field, pred_score_thr)
        lines = paragraphs(sample, pred_score_thr) if draw_pred and draw_texts else []
        if not lines:
            return _side_by_side(pictures) if pictures else image
        return add_text_strip(_side_by_side(pictures) if pictures else panels.canvas(), lines, panels.style.text)

    def _classes_of(self, sample: XDetDataSample) -> list[str] | None:
        vocabulary = sample.get('vocabulary')
        if vocabulary is not None:
            return marked_names(sample, vocabulary.names)
        classes = self.dataset_meta.get('classes') if self.dataset_meta else None
        return list(classes) if classes is not None else None


_GROUND_TRUTH = ('gt_poses', 'gt_panoptic_seg', 'gt_instances', 'gt_sem_seg', 'gt_phrases', 'gt_depth')
_PREDICTIONS = (
    'pred_panoptic_seg',
    'pred_instances',
    'pred_sem_seg',
    'pred_uncertainty',
    'pred_phrases',
    'pred_region_captions',
    'pred_poses',
    'pred_objects',
    'pred_depth',
)


def _side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    gap = np.full((panels[0].shape[0], _GAP, 3), 255, dtype=np.uint8)
    row = [panels[0]]
    for panel in panels[1:]:
        row += [gap, panel]
    return np.concatenate(row, axis=1) if len(row) > 1 else row[0]
