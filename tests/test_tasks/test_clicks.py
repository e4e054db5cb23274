"""Trained interactive segmentation: what learns, what is answered, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from parity.model import CONFIGS, sample_of
from test_tasks.conftest import tiny_model

from xdet.models.context import LatentPass
from xdet.models.heads.click import Shown
from xdet.registry import TASKS
from xdet.structures import TextPrompts
from xdet.tasks import ClickTask, InteractiveTask

CLICK = dict(_delete_=True, type='ClickTask', embed_dims=128, objects=2, loss=dict(type='ClickLoss'))


def clicking(**options):
    """A tiny model whose interactive task is the trained one, with a head that already says something."""
    model = tiny_model(interactive={**CLICK, **options})
    with torch.no_grad():
        for layer in (
            model.tasks['interactive'].head.mask.layers[-1],
            model.tasks['interactive'].head.score.layers[-1],
        ):
            layer.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
    return model


@pytest.fixture(scope='module')
def trained():
    return clicking().eval()


def sample(image: torch.Tensor, segments: bool = True, **options):
    made = sample_of(image, None, **options)
    if segments:
        masks = torch.zeros(2, *image.shape[-2:], dtype=torch.bool)
        masks[0, 4:30, 4:30] = masks[1, 30:60, 34:] = True
        made.gt_segments = InstanceData(masks=masks, labels=torch.tensor([0, 0]))
    return made


def losses_of(model, images, samples):
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    return model(**data, mode='loss')


def click_losses(model, images, samples, seed=0):
    torch.manual_seed(seed)
    found = losses_of(model, images, samples)
    return {name: loss for name, loss in found.items() if 'loss_click' in name}


def asked(model, image, **prompts):
    given = sample_of(image, None)
    given.prompts = TextPrompts(tasks=('interactive',), **prompts)
    data = model.data_preprocessor(dict(inputs=[image], data_samples=[given]), training=False)
    return model(**data, mode='predict')[0].pred_objects


@pytest.mark.parametrize('seed', range(3))
def test_training_reads_what_prediction_would(picture, seed: int) -> None:
    """The common pass of training and the stream of prediction give the same states."""
    model = clicking(rounds=3).train()
    task = model.tasks['interactive']
    image = picture(64, 64)
    data = model.data_preprocessor(dict(inputs=[image], data_samples=[sample(image, tasks=('interactive',))]), True)
    with torch.no_grad():
        context = model.context(model.latent_pass(model.encode(data['inputs'])), data['data_samples'])
        torch.manual_seed(seed)
        groups = task.queries(context)
        drawn = task._drawn
        outputs = model.decoder(context.features, [*context.latents, *groups])
        states = torch.cat([outputs.last.rows(outputs.last.state, group.name) for group in groups])
        latents = LatentPass(model.decoder, context.features)
        position = torch.cat([group.position for group in groups])
        streamed = latents.stream(position.shape[1], len(groups)).step(drawn.content, position)
    torch.testing.assert_close(states, streamed, atol=1e-5, rtol=1e-4)


def test_only_this_task_learns_in_a_frozen_model(picture) -> None:
    model = tiny_model(interactive=CLICK).train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith('tasks.interactive.'))
    images = [picture(64, 64), picture(64, 64, 1)]
    samples = [sample(images[0], tasks=('interactive',)), sample(images[1], tasks=('interactive',))]
    history, used = [], set()
    optimizer = torch.optim.Adam(model.tasks['interactive'].parameters(), lr=1e-3)
    for _ in range(8):
        losses = click_losses(model, images, samples, seed=0)
        assert set(losses) == {'loss_click_mask', 'loss_click_dice', 'loss_click_score'}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        used |= {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        optimizer.step()
        history.append(sum(float(loss.detach()) for loss in losses.values()))
    assert used == {name for name, _ in model.named_parameters() if name.startswith('tasks.interactive.')}
    assert history[-1] < 0.9 * history[0]


def test_images_without_objects_teach_nothing(picture) -> None:
    model = clicking().train()
    image, other = picture(64, 64), picture(64, 64, 1)
    empty = sample(other, segments=False)
    empty.gt_segments = InstanceData(masks=torch.zeros(0, 64, 64, dtype=torch.bool), labels=torch.zeros(0).long())
    losses = click_losses(model, [other], [sample_with(empty, 'interactive')])
    assert {float(loss.detach()) for loss in losses.values()} == {0.0}
    sum(losses.values()).backward()
    both = click_losses(model, [image, other], [sample(image, tasks=('interactive',)), empty])
    assert all(float(loss.detach()) > 0 for loss in both.values())


def sample_with(given, *tasks):
    given.set_metainfo(dict(tasks=tasks))
    return given


def test_other_tasks_stay_as_they_are(picture) -> None:
    """Predictions of the other tasks and their losses, with and without the trained task, bit by bit."""
    image = picture(64, 64)
    found = []
    for model in (tiny_model(), clicking()):
        model.eval()
        given = sample_of(image, None, phrases=('a dog',))
        given.prompts = TextPrompts(tasks=('refseg', 'caption'), phrases=('a dog',))
        data = model.data_preprocessor(dict(inputs=[image], data_samples=[given]), training=False)
        result = model(**data, mode='predict')[0]
        found.append((result.pred_phrases.masks, result.pred_phrases.similarities, model(data['inputs'][0][None]).last))
    for before, after in zip(found[0][:2], found[1][:2], strict=True):
        assert torch.equal(before, after)
    assert torch.equal(found[0][2].mask_embed, found[1][2].mask_embed)


def test_before_training_it_answers_as_the_untrained_way(picture) -> None:
    image, click = picture(64, 64), torch.tensor([[20, 30, 1]])
    plain = asked(tiny_model().eval(), image, points=click)
    fresh = asked(tiny_model(interactive=CLICK).eval(), image, points=click)
    order = [plain.queries.tolist().index(query) for query in fresh.queries.tolist()]
    assert torch.equal(fresh.masks, plain.masks[order])


def test_every_answer_honours_every_click(trained, picture) -> None:
    points = torch.tensor([[5, 9, 0], [20, 30, 1], [40, 10, 0], [60, 39, 1]])
    found = asked(trained, picture(64, 64), points=points)
    assert 1 <= len(found.masks) <= 3 and (found.scores.diff() <= 0).all()
    assert (found.masks[:, points[:, 1], points[:, 0]] == (points[:, 2] == 1)).all()
    assert ((found.scores > 0) & (found.scores < 1)).all()


def test_regions_are_objects_of_their_own(trained, picture) -> None:
    image = picture(64, 64)
    regions = torch.zeros(2, 64, 64, dtype=torch.bool)
    regions[0, 5:50, 5:30] = regions[1, 30:60, 20:64] = True
    both = asked(trained, image, regions=regions, boxed=True)
    for number, region in enumerate(regions):
        alone = asked(trained, image, regions=region[None], boxed=True)
        torch.testing.assert_close(alone.scores, both.scores[both.objects == number])
    clicked = asked(trained, image, regions=regions[:1], points=torch.tensor([[10, 10, 0]]))
    assert not clicked.masks[:, 10, 10].any()


def test_every_click_changes_what_follows(trained, picture) -> None:
    """The mask of the clicks before is a prompt: it enters, and so does every kind of prompt."""
    head = trained.tasks['interactive'].head
    maps = torch.randn(3 * 128, 8, 8, generator=torch.Generator().manual_seed(0))
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[2:5, 2:6] = True
    click = dict(places=torch.tensor([[3.0, 3.0]]), positive=torch.tensor([True]))
    state = torch.zeros(3, 128)
    shown = [
        Shown(**click), Shown(**click, region=region), Shown(**click, region=region, boxed=True),
        Shown(**click, previous=region), Shown(places=click['places'], positive=torch.tensor([False]), region=region),
    ]  # fmt: skip
    with torch.no_grad():
        contents = [head.queries(maps, own, state)[0] for own in shown]
    assert [len(content) for content in contents] == [4, 5, 5, 5, 5]
    assert len({float(content[-1].sum()) for content in contents}) == 5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(rounds=0), 'rounds is 0; accepted are numbers from 1'),
        (dict(objects=0), 'objects is 0'),
        (dict(least_cells=0), 'least_cells is 0'),
        (dict(shares=(1, 2)), r'shares is \(1, 2\); accepted are three numbers from 0, not all 0'),
        (dict(shares=(0, 0, 0)), 'shares is'),
        (dict(answers=0), 'answers is 0'),
    ],
)
def test_settings(options, message) -> None:
    with pytest.raises(ValueError, match=f'ClickTask: {message}' if 'answers' not in options else message):
        ClickTask(embed_dims=8, **options)


def test_the_config_trains_this_task_only() -> None:
    config = Config.fromfile(CONFIGS / 'xdecoder/xdecoder_lite0-nano_interactive-photos.py')
    task = TASKS.build(config.model.tasks.interactive)
    assert (
        isinstance(task, ClickTask) and isinstance(task, InteractiveTask) and config.trainable == ['tasks.interactive']
    )
    assert np.isclose(sum(task.shares), 1) and task.criterion is not None
