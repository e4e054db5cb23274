"""From pixels to what the model takes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose

from xdet.datasets.files.image_io import ImageReadError
from xdet.io.errors import cause

DEFAULT_RESIZE = dict(type='ResizeShortestEdge', scale=800, max_size=1333)
"""For configs that say nothing about sizes: the official rule of COCO (docs/model.md, 1)."""

# Of CUDA, HIP, XPU and MPS; of the CPU on Linux and Windows; of cuDNN, cuBLAS and the like; of C++; of Metal's buffers.
_OUT_OF_MEMORY = (
    'out of memory',
    'not enough memory',
    "can't allocate memory",
    'cannot allocate memory',
    'alloc_failed',
    'bad_alloc',
    'invalid buffer size',
)


def inference_transforms(cfg: Config) -> list[dict]:
    """Transforms from an image to the network's input.

    The config's ``inference_pipeline``; without one, the resizing of its test pipeline, so that a model meets images
    in the size it is tested in; without that, :data:`DEFAULT_RESIZE`.
    """
    if cfg.get('inference_pipeline'):
        return list(cfg.inference_pipeline)
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    while 'pipeline' not in dataset and 'dataset' in dataset:  # a wrapper
        dataset = dataset['dataset']
    resizing = [step for step in dataset.get('pipeline', ()) if 'Resize' in str(step.get('type'))]
    return [
        dict(type='LoadXDetImage'),
        *(resizing or [DEFAULT_RESIZE]),
        dict(type='PackXDetInputs', test_mode=True),
    ]


def build_pipeline(cfg: Config, task: str | None = None) -> Compose:
    """Pipeline of a task; it gets pixels under ``img``, so its loading step reads no file.

    Args:
        cfg (Config): Its ``task_pipelines`` are transforms by task, for tasks that see images in another size.
        task (str, optional): None, and every task without transforms of its own, has :func:`inference_transforms`.
    """
    own = cfg.get('task_pipelines', {}).get(task)
    return Compose(list(own) if own else inference_transforms(cfg))


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
        reason = f'an image of {width}x{height} pixels cannot be resized ({cause(error)})'
        raise ImageReadError(name, reason) from error
    return packed


def collate(prepared: list[dict[str, Any]]) -> dict[str, list]:
    """Batch of packed images, each in its own size."""
    return dict(inputs=[item['inputs'] for item in prepared], data_samples=[item['data_samples'] for item in prepared])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; for most devices and libraries it is a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _OUT_OF_MEMORY)
