"""Self-critical training: what the loss pushes where, and that what is scored is what was drawn."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from xdet.evaluation.captions.scores import DocumentFrequencies, cider_d_scores
from xdet.registry import MODELS
from xdet.self_critical import Drawn, SelfCriticalCaptioning, advantages, draw, self_critical_loss
from xdet.structures import XDetDataSample
from xdet.structures.generation import END_TOKEN, START_TOKEN

CAPTIONS = ('a red circle above a star', 'two blue squares on the grass')


class Policy(torch.nn.Module):
    """A model of texts that knows nothing but the place of a token."""

    def __init__(self, length: int, vocabulary: int = 50) -> None:
        super().__init__()
        self.places = torch.nn.Parameter(torch.zeros(length, vocabulary))
        self.table = torch.eye(vocabulary)
        self.place = 0

    def step(self, ids: Tensor) -> Tensor:
        self.place += 1
        return self.places[self.place - 1].expand(len(ids), -1)

    def reorder(self, rows: Tensor) -> None: ...

    def log_probs(self, ids: Tensor) -> Tensor:
        """Of texts ``[..., L + 1]``."""
        return self.places.log_softmax(1).expand(*ids.shape[:-1], -1, -1).gather(-1, ids[..., 1:, None]).sum((-1, -2))


def test_what_is_better_than_expected_becomes_more_probable_and_the_rest_less() -> None:
    policy = Policy(3)
    ids = torch.tensor([[[0, 1, 2, 3], [0, 4, 5, 6], [0, 7, 8, 9]]])
    scores = torch.tensor([[0.9, 0.3, 0.6]])
    drawn = Drawn(ids, torch.ones_like(ids, dtype=torch.bool), advantages(scores, greedy=False), scores.mean())
    torch.testing.assert_close(drawn.advantage, torch.tensor([[0.45, -0.45, 0.0]]))
    before = policy.log_probs(ids)
    embeds = torch.cat([policy.places, policy.places[:1]]).expand(1, 3, -1, -1)
    self_critical_loss(embeds, policy.table, drawn).backward()
    with torch.no_grad():
        policy.places -= policy.places.grad
    better, worse, as_expected = (policy.log_probs(ids) - before)[0].tolist()
    assert better > 0.01 and worse < -0.01 and abs(as_expected) < 0.2 * better
    torch.testing.assert_close(advantages(torch.tensor([[0.9, 0.3, 0.5]]), greedy=True), torch.tensor([[0.4, -0.2]]))


def test_a_small_training_raises_the_reward() -> None:
    """Texts are worth the share of their tokens that are even; at first it is half of them."""
    torch.manual_seed(0)
    policy = Policy(6)
    optimizer = torch.optim.Adam(policy.parameters(), 0.1)
    rewards = []
    for _ in range(80):
        policy.place = 0
        with torch.no_grad():
            ids, valid = draw(policy, torch.zeros(16, dtype=torch.bool), 6)
        scores = (ids[:, 1:] % 2 == 0).float().mean(1).view(4, 4)
        drawn = Drawn(ids.view(4, 4, -1), valid.view(4, 4, -1), advantages(scores, greedy=False), scores.mean())
        embeds = torch.cat([policy.places, policy.places[:1]]).expand(4, 4, -1, -1)
        optimizer.zero_grad()
        self_critical_loss(embeds, policy.table, drawn).backward()
        optimizer.step()
        rewards.append(float(scores.mean()))
    assert 0.35 < np.mean(rewards[:5]) < 0.65 and np.mean(rewards[-5:]) > 0.85


def test_texts_end_where_their_end_token_is() -> None:
    class Fixed:
        rows = torch.tensor([[5, END_TOKEN, 6], [7, 8, 9]])
        place = 0

        def step(self, ids: Tensor) -> Tensor:
            logits = torch.zeros(2, END_TOKEN + 1).scatter(1, self.rows[:, self.place, None], 100.0)
            self.place += 1
            return logits

    for greedy in (True, False):
        ids, valid = draw(Fixed(), torch.tensor([greedy, greedy]), 3)
        assert ids.tolist() == [[START_TOKEN, 5, END_TOKEN, 0], [START_TOKEN, 7, 8, 9]]
        assert valid.tolist() == [[True, True, True, False], [True] * 4]


def test_documents_that_were_counted_before_weigh_as_if_they_were_there() -> None:
    texts = [caption.split() for caption in CAPTIONS]
    frequencies = DocumentFrequencies()
    for text in texts:
        frequencies.add([[text]])
    wanted = cider_d_scores(['a red star'.split(), texts[1]], [[text] for text in texts])
    assert cider_d_scores(['a red star'.split()], [[texts[0]]], frequencies) == wanted[:1]
    assert wanted[1] == pytest.approx(10) and 0 < wanted[0] < 10


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    config = copy.deepcopy(tiny_config.model)
    own = dict(type='SelfCriticalCaptioning', samples=3, drawn_tokens=6, loss=dict(type='CaptionLoss', num_layers=1))
    config.tasks = dict(captioning=dict(own, embed_dims=32, text_width=16))
    with DefaultScope.overwrite_default_scope('xdet'):
        model = MODELS.build(config).train()
    with torch.no_grad():
        model.text_encoder.token_embedding.weight.normal_()
        model.tasks['captioning'].token_proj.normal_(std=0.3)
    return model


def batch(*captions: str | None) -> dict:
    images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in captions]
    meta = dict(ori_shape=(64, 64), img_shape=(64, 64))
    samples = [
        XDetDataSample(metainfo=dict(meta, **({} if caption is None else dict(caption=caption))))
        for caption in captions
    ]
    return dict(inputs=images, data_samples=samples)


def test_a_step_learns_from_drawn_captions_by_the_probabilities_they_were_drawn_with(model, monkeypatch) -> None:
    """So sharp a model draws what is most probable: the training pass must find the same tokens so."""
    task = model.tasks['captioning']
    with torch.no_grad():
        task.token_proj *= 1000
    seen = []
    monkeypatch.setattr(
        'xdet.self_critical.self_critical_loss', lambda *args: seen.append(args) or self_critical_loss(*args)
    )
    losses = model(**model.data_preprocessor(batch(CAPTIONS[0], None, CAPTIONS[1]), True), mode='loss')
    assert set(losses) == {'loss_captioning', 'loss_reward', 'caption_reward'}
    ((embeds, table, drawn),) = seen
    assert drawn.ids.shape[:2] == (3, 3) and 1 < drawn.ids.shape[2] <= 7
    scored = drawn.valid[..., 1:]
    found = (embeds[..., :-1, :] @ table.T).argmax(-1)
    assert torch.equal(found[scored], drawn.ids[..., 1:][scored]) and scored.sum() >= 9
    assert not drawn.advantage.any() and losses['loss_reward'] == 0


def test_gradients_reach_what_writes_and_weights_fit_the_plain_task(model, tiny_config, monkeypatch) -> None:
    task = model.tasks['captioning']
    assert set(task.state_dict()) == {'token_proj', 'position_embed.weight'}
    monkeypatch.setattr(task, '_scores', lambda drawn, caption: [float(row) for row in range(len(drawn))])
    losses = model(**model.data_preprocessor(batch(CAPTIONS[0], None), True), mode='loss')
    assert float(losses['caption_reward']) == 1
    losses['loss_reward'].backward()
    for parameter in (task.token_proj, model.decoder.layers[0].linear1.weight, model.text_encoder.text_projection):
        assert parameter.grad.abs().sum() > 0
    without = model(**model.data_preprocessor(batch(''), True), mode='loss')
    assert set(without) == {'loss_captioning'}


def test_scores_of_the_reference_and_of_its_beginning(model) -> None:
    task, tokens = model.tasks['captioning'], model.text_encoder.tokenize(list(CAPTIONS)).tolist()
    task._frequencies.add([[[*caption.split(), '<end>']] for caption in CAPTIONS])
    whole, other, unfinished = task._scores([*tokens, tokens[0][:4]], CAPTIONS[0])
    assert whole == pytest.approx(1) and other < 0.1 < unfinished < 0.9


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(baseline='best'), "SelfCriticalCaptioning: baseline is 'best'; accepted are 'mean' and 'greedy'"),
        (dict(samples=1), 'SelfCriticalCaptioning: samples is 1'),
        (dict(samples=0, baseline='greedy'), 'SelfCriticalCaptioning: samples is 0'),
        (dict(drawn_tokens=77), 'SelfCriticalCaptioning: drawn_tokens is 77'),
        (dict(reward_weight=-1), 'SelfCriticalCaptioning: reward_weight is -1'),
    ],
)
def test_impossible_settings_end_in_one_line(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        SelfCriticalCaptioning(**settings, loss=dict(type='CaptionLoss'))
