"""A small model with every task and weights that make its outputs differ from image to image."""

import pytest
import torch
from mmengine.config import Config
from parity.model import CONFIGS

from xdet.registry import MODELS

ANSWERS = ['yes', 'no', 'two', 'red', 'a dog', 'the left one']


def tiny_model(**tasks):
    torch.manual_seed(0)
    config = Config.fromfile(CONFIGS / '_base_/models/focal-nano.py')
    config.merge_from_dict({'model.backbone.embed_dims': 8, 'model.pixel_decoder.in_channels': (8, 16, 32, 64)})
    config.merge_from_dict({'model.text_encoder.num_layers': 2, 'model.decoder.num_layers': 3})
    config.merge_from_dict({'model.decoder.num_queries': 11, 'model.tasks.retrieval.backbone_channels': 64})
    for name in ('segmentation', 'referring'):
        config.merge_from_dict({f'model.tasks.{name}.loss.num_points': 64})
    loss = dict(type='AnswerLoss')
    config.model.tasks.vqa = dict(type='VQATask', answers=ANSWERS, embed_dims=128, loss=loss)
    config.merge_from_dict({f'model.tasks.{key}': value for key, value in tasks.items()})
    model = MODELS.build(config.model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # untrained tables are so small that everything would look alike
        for table in (
            model.decoder.query_feat.weight,
            model.decoder.query_embed.weight,
            model.text_encoder.token_embedding.weight,
            model.tasks['captioning'].position_embed.weight,
            model.tasks['vqa'].query_feat.weight,
        ):
            table.normal_(generator=generator)
        for table in (model.decoder.class_embed, model.tasks['captioning'].token_proj):
            table.normal_(std=0.1, generator=generator)
        model.text_encoder.text_projection.normal_(std=0.1, generator=generator)
    return model


@pytest.fixture(scope='session')
def model():
    """Ready to predict; tests leave it as it is."""
    return tiny_model().eval()


@pytest.fixture
def picture():
    """Random RGB images."""

    def make(height, width, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)

    return make
