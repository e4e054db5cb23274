import json
from pathlib import Path

import open_clip
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from parity.model import sample_of

from xdet.models.text import OpenCLIPTextEncoder, TextCache
from xdet.registry import MODELS
from xdet.structures import Vocabulary, XDetDataSample

ROOT = Path(__file__).resolve().parents[3]
TOWER = dict(width=32, heads=2, layers=2, context_length=30)
VISION = dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16)
TEXTS = ['a red dog on the sofa', 'sky', 'naïve café 🐕', '']


def _clip(custom_text=False, **config):
    """A tiny model of open_clip with weights that matter, and its config."""
    config = dict(dict(embed_dim=24, vision_cfg=VISION, text_cfg=TOWER), **config)
    torch.manual_seed(0)
    model = (open_clip.CustomTextCLIP if custom_text else open_clip.CLIP)(**config).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return model, config


@pytest.mark.parametrize('custom_text', [False, True])
@pytest.mark.parametrize(
    'changes',
    [{}, dict(quick_gelu=True, text_cfg=dict(TOWER, ls_init_value=0.1, mlp_ratio=2.0, norm_kwargs=dict(eps=0.1)))],
)
@torch.no_grad()
def test_equals_open_clip(tmp_path, custom_text, changes):
    clip, config = _clip(custom_text, **changes)
    torch.save(dict(state_dict=clip.state_dict(), epoch=3), tmp_path / 'clip.pt')
    encoder = OpenCLIPTextEncoder(config, embed_dims=24, pretrained=str(tmp_path / 'clip.pt'))
    encoder.init_weights()
    expected = clip.encode_text(open_clip.SimpleTokenizer(context_length=30)(TEXTS))
    features = encoder(TEXTS)
    torch.testing.assert_close(features.pooled, expected, rtol=1e-5, atol=1e-5)
    assert encoder.logit_scale == clip.logit_scale and encoder.logit_scale.shape == ()
    ids = encoder.tokenize(TEXTS)
    stream = encoder.stream(4, 20)
    tokens = torch.cat([stream.step(ids[:, :2]), stream.step(ids[:, 2:])], dim=1)
    torch.testing.assert_close(tokens, features.tokens, rtol=1e-5, atol=1e-5)


def test_another_width_is_projected():
    encoder = OpenCLIPTextEncoder(dict(embed_dim=24, text_cfg=TOWER), embed_dims=16)
    features = encoder(TEXTS)
    assert features.tokens.shape[-1] == features.pooled.shape[-1] == encoder.embed_dims == 16
    assert encoder.width == encoder.token_embedding.weight.shape[1] == 32
    features.pooled.sum().backward()
    assert encoder.adapter.weight.grad.abs().sum() > 0


def test_models_added_by_name(tmp_path):
    (tmp_path / 'my-clip.json').write_text(json.dumps(dict(embed_dim=24, vision_cfg=VISION, text_cfg=TOWER)))
    open_clip.add_model_config(tmp_path)
    assert OpenCLIPTextEncoder('my-clip', embed_dims=24).width == 32
    with pytest.raises(ValueError, match="no model 'my-clipp'; did you mean my-clip"):
        OpenCLIPTextEncoder('my-clipp')


@pytest.mark.parametrize(
    ('model', 'reason'),
    [
        ('ViT-B-16-SigLIP', 'is not causal'),
        ('roberta-ViT-B-32', 'is a Hugging Face model'),
        ('coca_ViT-B-32', 'pools at a token of its own'),
        ('ViT-H-14-CLIPA', 'is not causal'),
        ('ViT-L-14-worldwide', "does not use CLIP's tokenizer"),
        (dict(embed_dim=8, text_cfg=dict(qk_norm=True)), 'custom open_clip model has blocks of its own kind'),
    ],
)
def test_other_towers_are_refused(model, reason):
    with pytest.raises(ValueError, match=f'the text tower of .*{reason}.*accepted are causal towers'):
        OpenCLIPTextEncoder(model)


def test_most_models_of_open_clip_are_accepted():
    verdicts = {}  # most models share their text tower with others
    refused = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        tower = json.dumps([config['text_cfg'], config['embed_dim'], config.get('custom_text')])
        if tower not in verdicts:
            try:
                with torch.device('meta'):
                    OpenCLIPTextEncoder(name)
                verdicts[tower] = True
            except ValueError:
                verdicts[tower] = False
        if not verdicts[tower]:
            refused.append(name)
    assert len(open_clip.list_models()) - len(refused) > 80
    told = ('SigLIP', 'CLIPA', 'coca', 'roberta', 'mt5', 'nllb', 'worldwide', 'MobileCLIP')
    assert [name for name in refused if not any(part in name for part in told)] == []


def test_unusable_configs_and_checkpoints(tmp_path):
    with pytest.raises(ValueError, match='config of an open_clip model lacks text_cfg'):
        OpenCLIPTextEncoder(dict(embed_dim=8))
    with pytest.raises(ValueError, match='text_cfg of a custom open_clip model is not understood: .*wdth'):
        OpenCLIPTextEncoder(dict(embed_dim=8, text_cfg=dict(wdth=8)))
    config = dict(embed_dim=24, text_cfg=TOWER)
    with pytest.raises(ValueError, match="'laion2b' is no file; give a local checkpoint"):
        OpenCLIPTextEncoder(config, pretrained='laion2b').init_weights()
    path = tmp_path / 'clip.pt'
    path.write_bytes(b'nothing')
    with pytest.raises(ValueError, match="clip.pt' cannot be read"):
        OpenCLIPTextEncoder(config, pretrained=str(path)).init_weights()
    torch.save(_clip(embed_dim=16)[0].state_dict(), path)
    with pytest.raises(ValueError, match=r"clip.pt' lacks text_projection \(32, 24\); is it of another model"):
        OpenCLIPTextEncoder(config, pretrained=str(path)).init_weights()


@pytest.fixture
def model():
    """The model of the tiny run with a text tower from open_clip."""
    init_default_scope('xdet')
    config = Config.fromfile(ROOT / 'tests' / 'tiny' / 'tiny_run.py').model
    config.text_encoder = dict(
        type='OpenCLIPTextEncoder', model=dict(embed_dim=24, text_cfg=dict(TOWER, context_length=77)), embed_dims=32
    )
    captioning = dict(type='CaptioningTask', embed_dims=32, text_width=32)
    config.tasks = dict(segmentation=config.tasks.segmentation, captioning=captioning)
    torch.manual_seed(0)
    return MODELS.build(config)


def test_trains_a_step(model):
    """On segmentation; the tower moves, and what it embedded before is forgotten."""
    model.eval()
    vocabulary = Vocabulary.from_prompts(things='dog', stuff='grass')
    before = model.vocabulary(vocabulary)
    model.train()
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    sample = sample_of(image, None, vocabulary=vocabulary)
    masks = torch.arange(64).expand(64, 64) < 32
    sample.gt_segments = InstanceData(masks=torch.stack([masks, ~masks]), labels=torch.tensor([0, 1]))
    data = model.data_preprocessor(dict(inputs=[image], data_samples=[sample]), training=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = model(**data, mode='loss')
    assert {'loss_cls', 'loss_mask', 'loss_dice'} <= set(losses)
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.text_encoder.parameters())
    optimizer.step()
    assert not torch.equal(model.eval().vocabulary(vocabulary), before)


def test_embeds_vocabularies_and_files(model, tmp_path):
    model.eval()
    vocabulary = Vocabulary(('dog', 'cat', 'owl', 'traffic light'), (True,) * 4)
    embeddings = model.vocabulary(vocabulary)
    model.vocabulary.save(tmp_path / 'names.safetensors')
    again = TextCache(model.text_encoder)
    assert again.load(tmp_path / 'names.safetensors') == 5
    assert torch.equal(again(vocabulary), embeddings)


def test_writes_captions(model):
    model.eval()
    sample = XDetDataSample()
    sample.set_metainfo(
        dict(tasks=('caption',), ori_shape=(60, 64), img_shape=(60, 64), generation=dict(max_tokens=4, num_beams=2))
    )
    model.predict([torch.randn(3, 64, 64)], [sample])
    assert isinstance(sample.pred_captions[0]['text'], str)
