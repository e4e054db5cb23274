"""The modules that are exported, still as torch: they compute what the model computes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmengine.config import Config

from xdet.export.encoding import Decoder, ImageEncoder, ImageKeys, _with_fixed_padding
from xdet.export.examples import Examples
from xdet.export.graphs import graphs
from xdet.export.segmenting import Instance, Names, Panoptic, Semantic
from xdet.models import postprocess
from xdet.registry import MODELS
from xdet.structures import Vocabulary, XDetDataSample

NAMES = Vocabulary(('dog', 'sky', 'red circle'), (True, False, True))


@torch.no_grad()
@pytest.mark.parametrize(
    'settings',
    [None, dict(share=0.5), dict(share=0.6, heard=['backbone_3']), dict(share=0.0), dict(joined=True)],
)
def test_names_of_queries(tiny_config: Config, settings: dict | None) -> None:
    cfg = copy.deepcopy(tiny_config.model)
    maps = dict(memory_0=32, memory_2=32, backbone_3=64)
    if settings is not None:
        cfg.tasks.segmentation.pixel_names = dict(type='PixelNames', embed_dims=32, maps=maps, **settings)
    model = MODELS.build(cfg).eval()
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    *features, _ = ImageEncoder(model)(image)[:5]
    pixels = ImageEncoder(model)(image)[5:]
    class_embed, mask_embed, _, *pixel_embed = Decoder(model)(*features, pixels)
    assert len(pixel_embed) == (settings not in (None, dict(share=0.0)))
    text = model.vocabulary(NAMES)[:-1]
    found = Names(model)(class_embed, text, *pixel_embed)
    sample = XDetDataSample(metainfo=dict(vocabulary=NAMES))
    context = model.context(model.latent_pass(model.encode(image)), [sample])
    expected = model.tasks.segmentation.class_logits(context)[0].softmax(dim=-1)
    torch.testing.assert_close(found, expected)


@torch.no_grad()
@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('reported', [None, [True, False, True]])
@pytest.mark.parametrize('overlap', [0.0, 0.6])
def test_segments_without_a_loop(seed: int, overlap: float, reported: list[bool] | None) -> None:
    """Queries of one stuff class share a segment, also where the first of them is dropped."""
    logits, masks, inputs = queries(seed)
    least, told = torch.tensor([0.3, 0.4, 0.2]), None if reported is None else torch.tensor(reported)
    segments, labels, scores = Panoptic()(
        **inputs,
        is_thing=torch.tensor(NAMES.is_thing),
        reported=torch.ones(3, dtype=torch.bool) if told is None else told,
        least=least,
        overlap=torch.tensor(overlap, dtype=torch.float64),
        mask=torch.tensor(0.45),
    )
    expected, infos = postprocess.panoptic_segments(
        logits, masks.__getitem__, (12, 16), NAMES.is_thing, least, overlap, told, 0.45
    )
    assert torch.equal(segments, expected)
    assert labels.tolist() == [info['label'] for info in infos]
    assert scores.tolist() == pytest.approx([info['score'] for info in infos])


@torch.no_grad()
@pytest.mark.parametrize('reported', [None, [False, True, True], [False, False, False]])
def test_instances_of_reported_names(tiny_config: Config, reported: list[bool] | None) -> None:
    task = MODELS.build(tiny_config.model).tasks.segmentation
    logits, masks, inputs = queries(0)
    told = None if reported is None else torch.tensor(reported)
    labels, scores, rows, found = Instance(task)(
        **inputs,
        is_thing=torch.tensor(NAMES.is_thing),
        reported=torch.ones(3, dtype=torch.bool) if told is None else told,
        mask_logit=torch.tensor(0.2),
    )
    expected = postprocess.instances(
        logits, masks.__getitem__, (12, 16), NAMES.is_thing, task.max_per_image, True, told, 0.2
    )
    assert labels.tolist() == expected.labels.tolist()
    assert scores.tolist() == pytest.approx(expected.scores.tolist())
    assert torch.equal(found[rows], expected.masks)


@torch.no_grad()
def test_pixels_that_belong_to_no_name(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    task = MODELS.build(tiny_config.model).tasks.segmentation
    logits, masks, inputs = queries(0)
    labels, scores = Semantic(task)(**inputs)
    monkeypatch.setattr(task, 'background_score', 0.5)
    *again, surest = Semantic(task)(**inputs)
    assert torch.equal(labels, again[0]) and torch.equal(scores, again[1])
    found = torch.where(surest > 0.5, labels, XDetDataSample.BACKGROUND)
    expected = postprocess.semantic_labels(logits, masks.__getitem__, (12, 16), 0.5)
    assert torch.equal(found, expected.int())
    assert 0 < (found == XDetDataSample.BACKGROUND).sum() < found.numel()
    named = postprocess.label_scores(logits, masks.__getitem__, labels.long())
    torch.testing.assert_close(scores, named)


def queries(seed: int) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Class logits and mask logits of 9 queries, and what graphs are given of them."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(9, 4, generator=random)
    masks = 3 * torch.nn.functional.interpolate(torch.randn(1, 9, 3, 4, generator=random), (12, 16))[0]
    inputs = dict(probabilities=logits.softmax(dim=-1), mask_embed=masks.flatten(1), rows=torch.eye(12))
    return logits, masks, dict(inputs, mask_features=torch.eye(192).view(1, 192, 12, 16), columns=torch.eye(16))


@torch.no_grad()
@pytest.mark.parametrize(('kernel', 'stride', 'dilation'), [(3, 2, 1), (5, 2, 1), ((3, 5), (1, 2), 2), (1, 2, 1)])
def test_padding_that_depends_on_sizes_is_fixed(kernel: Any, stride: Any, dilation: int) -> None:
    """Where sizes are multiples of the stride, timm's padding is the same for all."""
    layers = pytest.importorskip('timm.layers', reason='timm is not installed')
    backbone = torch.nn.Sequential(layers.Conv2dSame(3, 4, kernel, stride=stride, dilation=dilation))
    fixed = _with_fixed_padding(backbone)
    for size in ((32, 64), (96, 32)):
        image = torch.randn(1, 3, *size)
        assert torch.equal(fixed(image), backbone(image))
    assert type(backbone[0]) is layers.Conv2dSame
    plain = torch.nn.Conv2d(3, 4, 3)
    assert _with_fixed_padding(plain) is plain


@torch.no_grad()
def test_decoder_that_attends_some_levels(tiny_config: Config) -> None:
    cfg = copy.deepcopy(tiny_config.model)
    cfg.decoder.levels = (2, 0)
    model = MODELS.build(cfg).eval()
    examples = Examples(model)
    assert examples.visible == ('visible_8', 'visible_32')
    made = {graph.name: graph for graph in graphs(model)}
    inputs = made['image_keys'].inputs
    keys = ImageKeys(model)(*inputs.values())
    expected = [made['caption_step'].inputs[name].shape for name in examples.image_keys]
    assert [layer.shape for layer in keys] == expected


def test_task_without_graph(tiny_config: Config) -> None:
    model = MODELS.build(tiny_config.model).eval()
    model.tasks['mine'] = torch.nn.Identity()
    model.tasks['mine'].names = ('mine',)
    with pytest.raises(ValueError, match='task Identity has no graph'):
        list(graphs(model))
    assert 'panoptic' in [graph.name for graph in graphs(model, ['panoptic'])]
