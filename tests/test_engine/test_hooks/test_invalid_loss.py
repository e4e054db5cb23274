from types import SimpleNamespace

import pytest
import torch

from xdet.engine.hooks import InvalidLossHook
from xdet.structures import XDetDataSample

BATCH = dict(data_samples=[XDetDataSample(metainfo=dict(img_path=f'{name}.jpg')) for name in ('cat', 'dog')])


def after_iteration(hook, iteration, **losses):
    losses = {name: torch.tensor(value) for name, value in losses.items()}
    hook.after_train_iter(SimpleNamespace(iter=iteration), iteration, BATCH, losses)


def test_names_iteration_terms_and_images():
    hook = InvalidLossHook()
    after_iteration(hook, 6, loss=1.0, loss_cls=1.0)
    with pytest.raises(ValueError, match='iteration 7: loss, d0.loss_mask not finite for the images cat.jpg, dog.jpg'):
        after_iteration(hook, 6, loss=float('nan'), loss_cls=1.0, **{'d0.loss_mask': float('inf')})


def test_looks_every_interval():
    hook = InvalidLossHook(interval=5)
    after_iteration(hook, 6, loss=float('nan'))
    with pytest.raises(ValueError):
        after_iteration(hook, 9, loss=float('nan'))
