"""From pixels to what the model takes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose

from ..datasets.image_io import ImageReadError

DEFAULT_PIPELINE = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=800, max_size=1333),
    dict(type='PackXDetInputs', test_mode=True),
]
"""For configs without ``inference_pipeline``: the official resize rule of COCO (spec 1.1)."""


def build_pipeline(cfg: Config) -> Compose:
    """The config's ``inference_pipeline``; it gets pixels under ``img``, so its loading step reads no file."""
    return Compose(cfg.get('inference_pipeline') or DEFAULT_PIPELINE)


def prepare(pipeline: Compose, image: np.ndarray, name: str, index: int) -> dict[str, Any]:
    """Network input and sample of one image.

    Args:
        pipeline (Compose): From :func:`build_pipeline`.
        image (np.ndarray): BGR uint8 ``[H, W, 3]``.
        name (str): Its name, for the sample and for errors.
        index (int): Its position in the run, the sample's ``img_id``.

    Returns:
        dict: ``inputs`` ``[3, h, w]`` and ``data_samples``.

    Raises:
        ImageReadError: The pipeline cannot handle an image of this size.
    """
    try:
        packed = pipeline(dict(img=image, img_path=name, img_id=index))
    except (cv2.error, OSError, ValueError, ZeroDivisionError) as error:
        height, width = image.shape[:2]
        cause = ' '.join(str(error).split())
        raise ImageReadError(name, f'an image of {width}x{height} pixels cannot be resized ({cause})') from error
    return packed


def collate(prepared: list[dict[str, Any]]) -> dict[str, list]:
    """Batch of packed images, each in its own size."""
    return dict(inputs=[item['inputs'] for item in prepared], data_samples=[item['data_samples'] for item in prepared])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; PyTorch reports it for the CPU as a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return 'not enough memory' in str(error) or "can't allocate memory" in str(error)
