"""The tiny model, exported once for all tests and all processes that share them."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from xdet.apis import XDecoderInferencer
from xdet.io.locking import locked


def _pipeline(**resize: object) -> list[dict]:
    return [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True)]


@pytest.fixture(scope='session')
def exportable(tiny_config: Config) -> XDecoderInferencer:
    """The tiny model with all kinds of sizes, of which none is large."""
    cfg = copy.deepcopy(tiny_config)
    square = dict(scale=(64, 96), keep_ratio=False, backend='pillow', interpolation='bicubic')
    cfg.task_pipelines = dict(
        refseg=_pipeline(type='ResizeShortestEdge', scale=72, rule='torchvision'),
        retrieval=_pipeline(type='mmdet.Resize', **square),
    )
    cfg.model.backbone.focal_levels = (1, 1, 1, 1)  # tracing takes time per operator
    cfg.model.tasks.segmentation.pixel_names = dict(
        type='PixelNames', embed_dims=32, maps=dict(memory_2=32, backbone_3=64), share=0.5
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return XDecoderInferencer(cfg, random_weights=True, device='cpu')


@pytest.fixture(scope='session')
def exported(exportable: XDecoderInferencer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the exported tiny model with its certificate."""
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(package, reason=f'{package} is not installed (requirements/export.txt)')
    from xdet.export.certificate import certify
    from xdet.export.exporting import export

    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if 'PYTEST_XDIST_WORKER' in os.environ else root) / 'exported'
    with locked(folder.with_suffix('.lock'), wait=True):
        if not folder.exists():
            export(exportable, folder, lambda unfinished: certify(exportable, unfinished))
    return folder
