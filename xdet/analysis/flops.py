"""Parameters and floating point operations of the parts of a model.

Counted is what PyTorch executes, by :class:`torch.utils.flop_counter.FlopCounterMode`: convolutions and matrix
products, attention included, a multiplication and an addition being two operations. Element-wise functions,
normalisation, interpolation and sampling are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from xdet.inference.pipeline import build_pipeline
from xdet.models.numerics.convolutions import direct_convolutions
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample

PARTS = dict(
    backbone='backbone', pixel_decoder='pixel decoder', decoder='decoder', text_encoder='text encoder', tasks='tasks'
)
"""Attributes of the model with parameters, and what to call them."""

WORDS = dict(
    phrases=('the red car on the left of the street',),
    questions=('what colour is the car on the left of the street',),
    texts=('a red car stands on the left of the street',),
)
"""Texts that tasks are asked with."""


@dataclass(frozen=True)
class Stage:
    """A part of the work.

    Attributes:
        name (str): What is done.
        parameters (int | None): Number of parameters of the module that does it, if it is one.
        flops (int | None): Operations for one image; None where the stage only lists parameters.
    """

    name: str
    parameters: int | None
    flops: int | None


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def countable() -> Iterator[None]:
    """Attention as matrix products that the counter sees, instead of fused kernels that it does not know.

    And convolutions as their definition says, not as shorter ways to the same result."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), direct_convolutions(), torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def operation_counter() -> FlopCounterMode:
    """PyTorch's counter, which also sees products that are added in place."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: _added_product})


def _added_product(into: Sequence[int], first: Sequence[int], second: Sequence[int], **options: Any) -> int:
    """Operations of a product of these shapes."""
    return 2 * first[0] * first[1] * second[1]


def count_flops(run: Callable[[], Any]) -> tuple[Any, int]:
    """Result of a function and the operations it took; see the module for what counts."""
    with operation_counter() as counter, countable():
        result = run()
    return result, counter.get_total_flops()


def count_stages(
    model: nn.Module, shape: tuple[int, int], vocabulary: Vocabulary, tasks: Sequence[str], num_tokens: int = 12
) -> list[Stage]:
    """Parameters and operations of every stage for one image.

    The image goes through backbone, pixel decoder and the decoder's pass over the latent queries once, whatever is
    asked. The rest is what each task adds to that, texts and their encoding listed apart. Post-processing of panoptic
    segmentation depends on what is found.

    Args:
        model (nn.Module): An ``XDecoder`` in evaluation mode; its memory of texts is cleared.
        shape (tuple[int, int]): Height and width of the network's input, multiples of 32.
        vocabulary (Vocabulary): Class names.
        tasks (Sequence[str]): Tasks to add, of those the model has.
        num_tokens (int): Most tokens of a caption.

    Raises:
        ValueError: The model does not have a task, or the shape is no multiple of 32.
    """
    if any(side < 32 or side % 32 for side in shape):
        raise ValueError(f'the input is {shape[0]}x{shape[1]} pixels; both sides must be multiples of 32')
    unknown = [task for task in tasks if task not in model.task_names]
    if unknown:
        raise ValueError(f"task '{unknown[0]}' is none of this model's: {', '.join(model.task_names)}")
    model.texts.clear()
    image = torch.zeros((1, 3, *shape), device=next(model.parameters()).device)
    size = {name: count_parameters(getattr(model, name)) for name in PARTS}
    maps, flops = count_flops(lambda: tuple(model.backbone(image)))
    stages = [Stage('backbone', size['backbone'], flops)]
    _, flops = count_flops(lambda: model.pixel_decoder(maps))
    stages.append(Stage('pixel decoder', size['pixel_decoder'], flops))
    features = model.encode(image)
    latent_pass = model.latent_pass(features)
    _, flops = count_flops(lambda: (latent_pass.image_keys, latent_pass.outputs))
    stages.append(Stage(f'decoder, {model.decoder.num_queries} latent queries', size['decoder'], flops))
    _, flops = count_flops(lambda: model.vocabulary(vocabulary))
    names = f'text encoder, {len(vocabulary)} class names in all templates (once)'
    stages.append(Stage(names, size['text_encoder'], flops))
    for task in tasks:
        stages += _task_stages(model, features, latent_pass, _request(shape, vocabulary, task, num_tokens), task)
    stages.append(Stage('tasks', size['tasks'], None))
    return stages


def _task_stages(model: nn.Module, features: Any, latent_pass: Any, sample: XDetDataSample, task: str) -> list[Stage]:
    """What a task adds, its texts apart: they are remembered, so a second run does without."""
    _, first = count_flops(lambda: model.predict_features(features, [sample], latent_pass))
    _, again = count_flops(lambda: model.predict_features(features, [sample], latent_pass))
    stages = [Stage(f'+ {task}', None, again)]
    if first > again:
        stages.insert(0, Stage(f'text encoder, text of {task}', None, first - again))
    return stages


def _request(shape: tuple[int, int], vocabulary: Vocabulary, task: str, num_tokens: int) -> XDetDataSample:
    sample = XDetDataSample(metainfo=dict(ori_shape=shape, img_shape=shape))
    regions = torch.ones((1, *shape), dtype=torch.bool) if task == 'refcaption' else None
    points = torch.tensor([[shape[1] // 2, shape[0] // 2, 1]]) if task == 'interactive' else None
    prompts = dict(regions=regions, points=points, generation=dict(max_tokens=num_tokens), **WORDS)
    TextPrompts((task,), vocabulary, **prompts).apply(sample, 'blank')
    return sample


def input_shape(cfg: Config, picture: tuple[int, int]) -> tuple[int, int]:
    """Height and width, padded, in which the network sees an image of this height and width."""
    packed = build_pipeline(cfg)(dict(img=np.zeros((*picture, 3), np.uint8), img_path='blank', img_id=0))
    height, width = packed['inputs'].shape[1:]
    return -(-height // 32) * 32, -(-width // 32) * 32
