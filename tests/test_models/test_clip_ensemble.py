"""A frozen CLIP beside the decoder: what it says by open_clip's own way, what it may change, and what it costs."""

from __future__ import annotations

from unittest.mock import patch

import open_clip
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xdet.models import ClipEnsemble
from xdet.structures import TEMPLATES, ImageFeatures, Vocabulary

TEXT = dict(width=16, heads=2, layers=1, context_length=77)
CONVNEXT = dict(timm_model_name='convnext_atto', timm_model_pretrained=False, timm_pool='avg', timm_proj='linear')
VIT = dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16)
TOWERS = dict(
    convnext=dict(embed_dim=12, text_cfg=TEXT, vision_cfg=dict(CONVNEXT, image_size=64)),
    vit=dict(embed_dim=12, text_cfg=TEXT, vision_cfg=VIT),
)
NAMES = Vocabulary(('cat', 'dog', 'traffic light'), (True,) * 3)


@pytest.fixture(scope='module')
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[open_clip.CLIP, dict]]:
    """Tiny models with random weights, and what :class:`ClipEnsemble` is told about them."""
    folder, made = tmp_path_factory.mktemp('clips'), {}
    for name, config in TOWERS.items():
        torch.manual_seed(1)
        clip = open_clip.CLIP(**config).eval()
        torch.save(clip.state_dict(), folder / f'{name}.pt')
        made[name] = clip, dict(model=config, weights=str(folder / f'{name}.pt'))
    return made


def features(mask: Tensor, image: Tensor | None) -> ImageFeatures:
    """One channel of mask features; the embedding of every query is 1, so that it is the mask."""
    return ImageFeatures((), mask[None, None], (), image)


def mixed(
    ensemble: ClipEnsemble, logits: Tensor, mask: Tensor, image: Tensor | None, vocabulary: Vocabulary = NAMES
) -> Tensor:
    embeds = torch.ones(1, len(logits), 1)
    return ensemble.mix([logits], embeds, features(mask, image), [vocabulary], lambda pixels: pixels)[0]


@torch.no_grad()
def test_everything_under_the_mask_is_what_the_clip_says_of_the_image(clips) -> None:
    clip, told = clips['convnext']
    image, logits = torch.rand(1, 3, 64, 96), torch.randn(2, 4)
    found = mixed(ClipEnsemble(**told, share_unseen=1.0), logits, torch.full((16, 24), 50.0), image)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    prompts = [open_clip.tokenize([template.format(name) for template in TEMPLATES]) for name in NAMES.names]
    texts = [normalize(clip.encode_text(ids, normalize=True).mean(0), dim=0) for ids in prompts]
    said = clip.logit_scale.exp() * clip.encode_image((image - mean) / std, normalize=True) @ torch.stack(texts).T
    torch.testing.assert_close(found[:, :3].softmax(-1), said.softmax(-1).expand(2, 3), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.softmax(-1)[:, 3], logits.softmax(-1)[:, 3])  # whether there is an object


@pytest.mark.parametrize('tower', TOWERS)
def test_only_what_is_under_the_mask_counts(clips, tower: str) -> None:
    ensemble = ClipEnsemble(**clips[tower][1])
    mask, image, logits = torch.full((16, 16), -50.0), torch.rand(1, 3, 64, 64), torch.zeros(1, 4)
    mask[:, :8] = 50.0
    planes = torch.randn(1, 768 if tower == 'vit' else 320, 2, 2)[:, : 32 if tower == 'vit' else 320]
    with patch.object(ensemble, '_encode', return_value=planes):
        before = mixed(ensemble, logits, mask, image)
    planes = planes.clone()
    planes[..., 1] += 5  # of the other half
    with patch.object(ensemble, '_encode', return_value=planes):
        torch.testing.assert_close(mixed(ensemble, logits, mask, image.clone()), before)


def test_weights_of_zero_change_nothing_and_look_at_nothing(clips) -> None:
    ensemble = ClipEnsemble(**clips['vit'][1], share_seen=0, share_unseen=0)
    logits = torch.randn(2, 4)
    assert ensemble.mix([logits], torch.ones(1, 2, 1), features(torch.ones(8, 8), None), [NAMES], None) == [logits]


def test_names_seen_in_training_have_a_weight_of_their_own(clips) -> None:
    told, image, mask = clips['vit'][1], torch.rand(1, 3, 32, 32), torch.ones(8, 8)
    logits = torch.randn(1, 4)
    only_unseen = ClipEnsemble(**told, seen=['Cat', 'dog'], share_seen=0.0, share_unseen=0.5)
    odds = (mixed(only_unseen, logits, mask, image) - logits)[0]
    torch.testing.assert_close(odds[0], odds[1])  # cat to dog as the decoder has it
    assert (odds[0] - odds[2]).abs() > 1e-3


@pytest.mark.parametrize('tower', TOWERS)
def test_an_image_is_encoded_once_for_all_prompts(clips, tower: str) -> None:
    ensemble, image, logits = ClipEnsemble(**clips[tower][1]), torch.rand(1, 3, 64, 64), torch.randn(1, 4)
    with patch.object(ensemble, '_encode', wraps=ensemble._encode) as encode:
        for vocabulary in (NAMES, Vocabulary(('a', 'b', 'c'), (True,) * 3)):
            mixed(ensemble, logits, torch.ones(16, 16), image, vocabulary)
        assert encode.call_count == 1
        mixed(ensemble, logits, torch.ones(16, 16), image.clone())
        assert encode.call_count == 2


def test_it_is_no_part_of_the_model_but_moves_with_it(clips) -> None:
    ensemble = ClipEnsemble(**clips['vit'][1])
    assert not ensemble.state_dict() and not list(ensemble.parameters())
    torch.nn.Sequential(ensemble).to(torch.bfloat16)
    assert {p.dtype for part in ensemble._frozen for p in part.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(share_seen=1.5), r'share_seen=1.5; accepted are numbers in \[0, 1\]'),
        (dict(model='ViT-B-61'), "no model 'ViT-B-61'; did you mean"),
        (
            dict(model=dict(TOWERS['vit'], vision_cfg=dict(layers=[1] * 4, width=16, image_size=32))),
            'gives no map',
        ),
        (
            dict(model=dict(TOWERS['vit'], vision_cfg=dict(VIT, width=48))),
            'does not fit: visual.',
        ),
        (dict(weights='nowhere.pt'), 'nowhere.pt'),
    ],
)
def test_what_cannot_be_used(clips, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipEnsemble(**{**clips['vit'][1], **changes})


def test_features_without_their_image(clips) -> None:
    with pytest.raises(ValueError, match='without their images'):
        mixed(ClipEnsemble(**clips['vit'][1]), torch.zeros(1, 4), torch.ones(8, 8), None)
