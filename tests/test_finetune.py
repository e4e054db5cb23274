"""Fine-tuning recipes: every trained parameter learns, and the tutorial of docs/finetune.md works to the letter."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny.tools import run_tool

from xdet.apis.model_zoo import find_config
from xdet.engine.trainable import select_trainable
from xdet.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
LANGUAGE = ('refseg', 'caption', 'retrieval', 'vqa')


@pytest.mark.parametrize('task', LANGUAGE)
def test_every_trained_parameter_has_a_gradient(task: str) -> None:
    """Or the config says that some have none: several processes would otherwise wait for them in vain."""
    cfg = Config.fromfile(find_config(f'xdecoder_focal-nano_finetune-{task}'))
    cfg.train_dataloader.batch_size = 2
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    select_trainable(model, cfg.get('trainable', ('*',)), cfg.get('frozen', ()))
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    batch = model.train().data_preprocessor(batch, training=True)
    losses = model(**batch, mode='loss')
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    without = {name for name, parameter in trained.items() if parameter.grad is None}
    assert bool(without) == cfg.get('find_unused_parameters', False), without
    assert not {name for name in without if name.startswith(('tasks.', 'decoder.layers', 'decoder.query', 'text_encoder.t'))}
