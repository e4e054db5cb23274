"""A tiny model with random weights, built once."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from xdet.apis import XDecoderInferencer

ROOT = Path(__file__).resolve().parents[2]


ANSWERS = ('yes', 'no', 'red', 'two', 'a dog', 'left')


def all_tasks(segmentation: dict) -> dict:
    """Every task in the widths of the tiny model; captions are short because random weights never end one."""
    return dict(
        segmentation=dict(segmentation, object_mask_threshold=0.0, overlap_threshold=0.0, max_per_image=5),
        referring=dict(type='ReferringTask'),
        captioning=dict(type='CaptioningTask', embed_dims=32, text_width=16, generation=dict(max_tokens=6)),
        retrieval=dict(type='RetrievalTask', backbone_channels=64, embed_dims=32),
        vqa=dict(type='VQATask', answers=ANSWERS, embed_dims=32),
        classification=dict(type='ClassificationTask'),
        interactive=dict(type='InteractiveTask'),
    )


@pytest.fixture(scope='session')
def tiny_config() -> Config:
    """Every part of X-Decoder in its smallest form, without thresholds, so that random weights give segments."""
    cfg = Config.fromfile(str(ROOT / 'configs' / 'xdecoder' / 'xdecoder_focal-nano.py'))
    cfg.model.backbone.update(embed_dims=8, depths=(1, 1, 1, 1))
    cfg.model.pixel_decoder.update(in_channels=(8, 16, 32, 64), feat_channels=32, num_layers=1, feedforward_channels=32)
    cfg.model.text_encoder.update(width=16, num_heads=2, num_layers=1, embed_dims=32)
    cfg.model.decoder.update(num_queries=11, embed_dims=32, num_heads=2, num_layers=2, feedforward_channels=32)
    cfg.model.tasks = all_tasks(cfg.model.tasks.segmentation)
    cfg.inference_pipeline = [
        dict(type='LoadXDetImage'),
        dict(type='ResizeShortestEdge', scale=64, max_size=96),
        dict(type='PackXDetInputs', test_mode=True),
    ]
    return cfg


@pytest.fixture(scope='session')
def inferencer(tiny_config: Config) -> XDecoderInferencer:
    """Tiny model on the CPU."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return XDecoderInferencer(tiny_config, random_weights=True, device='cpu')
