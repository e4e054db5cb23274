import pytest
import torch
from mmengine.config import Config
from tiny.tools import CONFIG
from torch import nn

from xdet.analysis.flops import count_flops, count_parameters, count_stages, input_shape
from xdet.model_zoo import find_config, load_config
from xdet.registry import MODELS
from xdet.structures import Vocabulary

WORDS = Vocabulary(('sky', 'grass', 'ball'), (False, False, True))


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(str(CONFIG)).model).eval()


def test_multiplication_and_addition_are_two_operations():
    _, flops = count_flops(lambda: nn.Linear(5, 7)(torch.ones(3, 5)))
    assert flops == 2 * 3 * 5 * 7
    _, flops = count_flops(lambda: nn.Conv2d(4, 6, 3, padding=1)(torch.ones(1, 4, 8, 10)))
    assert flops == 2 * 8 * 10 * 4 * 6 * 9


@pytest.mark.parametrize('need_weights', [False, True])
def test_attention_is_counted_whichever_kernel_would_run(need_weights):
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.ones(1, 5, 8)
    _, flops = count_flops(lambda: attention(x, x, x, need_weights=need_weights))
    assert flops == 2 * (4 * 5 * 8 * 8 + 2 * 5 * 5 * 8)  # four projections, scores, weighted sums
    assert torch.backends.mha.get_fastpath_enabled()


def test_stages(model):
    stages = {stage.name: stage for stage in count_stages(model, (64, 96), WORDS, ('semantic', 'panoptic'))}
    larger = {stage.name: stage for stage in count_stages(model, (128, 192), WORDS, ('semantic',))}
    names = 'text encoder, 3 class names in all templates (once)'
    assert larger[names].flops == stages[names].flops > 0
    assert larger['backbone'].flops == pytest.approx(4 * stages['backbone'].flops, rel=0.02)
    assert all(stages[name].flops > 0 for name in ('pixel decoder', 'decoder, 9 latent queries', '+ semantic'))
    assert sum(stage.parameters or 0 for stage in stages.values()) == count_parameters(model)


def test_every_task_of_the_default_model_is_asked():
    """Whatever prompts a task needs, it gets: without any in their place there is an error, and no number."""
    default = MODELS.build(load_config(find_config('xdecoder_lite0-nano_joint-photos')).model).eval()
    names = [stage.name for stage in count_stages(default, (32, 32), WORDS, default.task_names, num_tokens=2)]
    assert 'interactive' in default.task_names and {f'+ {task}' for task in default.task_names} <= set(names)


def test_mistakes(model):
    with pytest.raises(ValueError, match='64x90 pixels; both sides must be multiples of 32'):
        count_stages(model, (64, 90), WORDS, ())
    with pytest.raises(ValueError, match="task 'vqa' is none of this model's: semantic"):
        count_stages(model, (64, 64), WORDS, ('vqa',))


def test_input_shape_is_that_of_the_inference_pipeline():
    resize = dict(type='ResizeShortestEdge', scale=100)
    pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True)]
    cfg = Config(dict(inference_pipeline=pipeline))
    assert input_shape(cfg, (50, 80)) == (128, 160)
