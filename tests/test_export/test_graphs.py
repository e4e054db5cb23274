"""The modules that are exported, still as torch: they compute what the model computes."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config

from xdet.export.graphs import Decoder, ImageEncoder, Panoptic, Semantic, graphs
from xdet.models import postprocess
from xdet.registry import MODELS
from xdet.structures import Vocabulary, XDetDataSample

NAMES = Vocabulary(('dog', 'sky', 'red circle'), (True, False, True))


@torch.no_grad()
@pytest.mark.parametrize('settings', [None, dict(share=0.5), dict(share=0.6, heard=['backbone_3']), dict(share=0.0)])
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
    found = Semantic(model).probabilities(class_embed, text, *pixel_embed or [None])
    sample = XDetDataSample(metainfo=dict(vocabulary=NAMES))
    context = model._context(model.latent_pass(model.encode(image)), [sample])
    expected = model.tasks.segmentation.class_logits(context)[0].softmax(dim=-1)
    torch.testing.assert_close(found, expected)


@torch.no_grad()
@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('overlap', [0.0, 0.6])
def test_segments_without_a_loop(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch, seed: int, overlap: float
) -> None:
    """Queries of one stuff class share a segment, also where the first of them is dropped."""
    model = MODELS.build(tiny_config.model).eval()
    task = model.tasks.segmentation
    monkeypatch.setattr(task, 'object_mask_threshold', 0.3)
    monkeypatch.setattr(task, 'overlap_threshold', overlap)
    panoptic = Panoptic(model, task)
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(9, 4, generator=random)
    monkeypatch.setattr(panoptic, 'probabilities', lambda *args: logits.softmax(dim=-1))
    masks = 3 * torch.nn.functional.interpolate(torch.randn(1, 9, 3, 4, generator=random), (12, 16))[0]
    inputs = dict(class_embed=logits, mask_embed=masks.flatten(1), mask_features=torch.eye(192).view(1, 192, 12, 16))
    is_thing = torch.tensor(NAMES.is_thing)
    sizes = dict(rows=torch.eye(12), columns=torch.eye(16))
    segments, labels, scores = panoptic(**inputs, text=torch.zeros(3, 32), is_thing=is_thing, **sizes)
    expected, infos = postprocess.panoptic_segments(logits, masks.__getitem__, (12, 16), NAMES.is_thing, 0.3, overlap)
    assert torch.equal(segments, expected)
    assert labels.tolist() == [info['label'] for info in infos]
    assert scores.tolist() == pytest.approx([info['score'] for info in infos])


@pytest.mark.parametrize(
    ('part', 'name', 'value', 'message'),
    [
        ('decoder', 'levels', (1,), 'a decoder of levels'),
        ('tasks.segmentation', 'background_score', 0.5, 'background_score has no graphs'),
        ('tasks.segmentation.pixel_names', 'joined', True, 'joined pixel_names has no graphs'),
    ],
)
def test_settings_that_graphs_would_lack(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch, part: str, name: str, value: object, message: str
) -> None:
    cfg = copy.deepcopy(tiny_config.model)
    cfg.tasks.segmentation.pixel_names = dict(type='PixelNames', embed_dims=32, maps=dict(memory_0=32))
    model = MODELS.build(cfg).eval()
    monkeypatch.setattr(model.get_submodule(part), name, value)
    with pytest.raises(ValueError, match=message):
        list(graphs(model))


def test_task_without_graph(tiny_config: Config) -> None:
    model = MODELS.build(tiny_config.model).eval()
    model.tasks['mine'] = torch.nn.Identity()
    with pytest.raises(ValueError, match='task Identity has no graph'):
        list(graphs(model))
