"""All tasks train from one batch; which ones do follows from the samples' targets."""

import pytest
import torch
from mmengine.structures import InstanceData
from parity.model import sample_of
from test_tasks.conftest import tiny_model

from xdet.models.similarity import cosine_logits
from xdet.structures import Vocabulary
from xdet.tasks.segmentation import layer_class_logits

ANIMALS = Vocabulary.from_prompts(things='dog . cat', stuff='grass')


def halves(image, count):
    height, width = image.shape[-2:]
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for index in range(count):
        masks[index, :, index * width // count : (index + 1) * width // count] = True
    return masks


def sample(image, segments=None, phrases=None, regions=None, **texts):
    made = sample_of(image, None, vocabulary=ANIMALS, **texts)
    if segments is not None:
        made.gt_segments = InstanceData(masks=halves(image, len(segments)), labels=torch.tensor(segments).long())
    if phrases is not None:
        made.gt_phrases = InstanceData(masks=halves(image, len(phrases)), texts=list(phrases))
    if regions is not None:
        made.gt_regions = InstanceData(masks=halves(image, len(regions)), texts=list(regions))
    return made


def losses_of(model, images, samples):
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    return model(**data, mode='loss')


def test_every_parameter_learns_from_one_batch_with_gaps(picture):
    """Images without a caption, phrases, question or segments do not disturb the others."""
    pixel_names = dict(type='PixelNames', embed_dims=128, maps=dict(memory_0=128, backbone_3=64), void_weight=0.1)
    model = tiny_model(**{'segmentation.pixel_names': pixel_names}).train()
    images = [picture(60, 70), picture(64, 40, 1), picture(64, 64, 2)]
    samples = [
        sample(images[0], [0, 2], ['a dog', 'grass', 'a dog'], caption='a dog on grass', nouns=('dog',),
               questions=('what?', 'why?'), answers=({'yes': 1.0, 'unheard of': 0.3}, {'no': 1.0}),
               regions=['a dog']),
        sample(images[1], [], [], caption='', nouns=(), questions=(), answers=()),
        sample(images[2], [1], ['the cat'], caption='one cat', nouns=('cat', 'pet'), questions=('who?',),
               answers=({'no': 0.6},), regions=['a cat', 'its tail']),
    ]  # fmt: skip
    losses = losses_of(model, images, samples)
    kinds = {name.split('.')[-1] for name in losses}
    assert kinds == {
        'loss_cls', 'loss_mask', 'loss_dice', 'loss_noun', 'loss_grounding_cls', 'loss_grounding_mask',
        'loss_grounding_dice', 'loss_captioning', 'loss_region_captioning', 'loss_retrieval',
        'loss_retrieval_backbone', 'loss_vqa', 'loss_pixel_names',
    }  # fmt: skip
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    assert {name for name, parameter in model.named_parameters() if parameter.grad is None} == set()


@pytest.mark.parametrize(
    ('targets', 'kinds'),
    [
        (dict(segments=[0]), {'loss_cls', 'loss_mask', 'loss_dice'}),
        (dict(phrases=['x']), {'loss_grounding_cls', 'loss_grounding_mask', 'loss_grounding_dice'}),
        (dict(caption='a cat'), {'loss_captioning', 'loss_retrieval', 'loss_retrieval_backbone'}),
        (dict(questions=('a?',), answers=({'yes': 1.0},)), {'loss_vqa'}),
        (dict(regions=['a cat', 'a dog']), {'loss_region_captioning'}),
    ],
)
def test_targets_decide_which_losses_there_are(picture, targets, kinds):
    image = picture(40, 40)
    losses = losses_of(tiny_model(), [image], [sample(image, **targets)])
    assert {name.split('.')[-1] for name in losses} == kinds


def test_joined_pixels_are_heard_in_training_and_in_prediction(picture):
    """The classification loss teaches them, and the same is added to the logits at inference."""
    head = dict(type='PixelNames', embed_dims=128, maps=dict(memory_0=128, backbone_3=64), joined=True)
    model = tiny_model(**{'segmentation.pixel_names': head}).train()
    images = [picture(60, 70), picture(64, 40, 1)]
    samples = [sample(images[0], caption='no segments'), sample(images[1], [0, 2])]
    losses = losses_of(model, images, samples)
    sum(value for name, value in losses.items() if 'loss_cls' in name).backward()
    task = model.tasks['segmentation']
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.pixel_names.parameters())

    model.eval()
    data = model.data_preprocessor(dict(inputs=images[:1], data_samples=samples[:1]), training=False)
    with torch.no_grad():
        context = model.context(model.latent_pass(model.encode(data['inputs'][0][None])), samples[:1])
        joined, task.pixel_names = task.class_logits(context)[0], None
        alone = task.class_logits(context)[0]
    added = joined - alone
    torch.testing.assert_close(added[:, :-1].exp().sum(-1), torch.ones(len(added)), atol=1e-3, rtol=0)
    assert torch.equal(joined[:, -1], alone[:, -1])


def test_samples_may_say_which_tasks_learn_from_them(picture):
    image = picture(40, 40)
    made = sample(image, segments=[0], caption='a cat', nouns=('cat',))
    made.set_metainfo(dict(tasks=('panoptic', 'refseg')))
    kinds = {name.split('.')[-1] for name in losses_of(tiny_model(), [image], [made])}
    assert kinds == {'loss_cls', 'loss_mask', 'loss_dice', 'loss_noun'}


TARGETS = {
    'segments': (dict(segments=[0]), dict(segments=[1, 2])),
    'phrases': (dict(phrases=['x']), dict(phrases=['the other', 'one'])),
    'caption': (dict(caption='a cat'), dict(caption='five green buses beside a river')),
    'regions': (dict(regions=['a cat']), dict(regions=['a dog', 'one more'])),
    'questions': (
        dict(questions=('a?',), answers=({'yes': 1.0},)),
        dict(questions=('who is it?', 'why?'), answers=({'no': 1.0}, {'two': 1.0})),
    ),
}
WANTED = dict(segments='semantic', phrases='refseg', caption='caption', regions='refcaption', questions='vqa')


def losses_and_gradients(picture, samples):
    """Of two images with these samples, in ``picture``'s size."""
    model = tiny_model().train()
    torch.manual_seed(2)
    losses = losses_of(model, [picture(40, 40), picture(40, 40, 1)], samples)
    sum(losses.values()).backward()
    return losses, {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize('kind', TARGETS)
def test_a_sample_trains_only_the_tasks_it_names_whatever_its_batch_trains(picture, kind):
    """Targets of other tasks are of no more effect than none, on losses and on gradients."""
    image = picture(40, 40)
    other = 'phrases' if kind != 'phrases' else 'segments'
    results = []
    for more in ({}, *TARGETS[kind]):
        own, mate = sample(image, **{**TARGETS[other][0], **more}), sample(image, **TARGETS[kind][1])
        own.set_metainfo(dict(tasks=(WANTED[other],)))
        results.append(losses_and_gradients(picture, [own, mate]))
    for losses, gradients in results[1:]:
        assert losses.keys() == results[0][0].keys()
        for pairs in zip((losses, gradients), results[0], strict=True):
            for name, value in pairs[0].items():
                expected = pairs[1][name]
                assert value is expected is None or torch.equal(value, expected), name


@pytest.mark.parametrize('kind', TARGETS)
def test_an_image_without_a_kind_of_target_leaves_that_loss_to_the_others(picture, kind):
    image = picture(40, 40)
    other = 'phrases' if kind != 'phrases' else 'segments'
    losses, _ = losses_and_gradients(
        picture, [sample(image, **TARGETS[kind][1]), sample(image, **TARGETS[other][0], caption='')]
    )
    alone = losses_of(tiny_model().train(), [image], [sample(image, **TARGETS[kind][1])])
    assert alone.keys() <= losses.keys() and all(map(torch.isfinite, losses.values()))
    if kind == 'questions':
        torch.testing.assert_close(losses['loss_vqa'], alone['loss_vqa'], rtol=1e-4, atol=1e-5)


def test_a_batch_without_targets_is_an_error(picture):
    image = picture(40, 40)
    with pytest.raises(ValueError, match='no task of this model .* finds targets'):
        losses_of(tiny_model(), [image], [sample(image)])


@pytest.mark.parametrize('content', ['learned', 'tokens'])
@torch.no_grad()
def test_questions_of_training_are_those_of_prediction(picture, content):
    """Several questions in one training pass are answered as the same questions are at prediction."""
    model = tiny_model(**{'vqa.content': content, 'vqa.top_k': 6}).eval()
    images = [picture(64, 64), picture(64, 64, 1)]
    asked = [('what is it?', 'how many are there?', 'why?'), ('what is it?',)]
    samples = [
        sample(image, questions=questions, answers=tuple({'red': 1.0} for _ in questions))
        for image, questions in zip(images, asked, strict=True)
    ]
    loss = losses_of(model, images, samples)['loss_vqa']
    for made in samples:
        made.set_metainfo(dict(tasks=('vqa',)))
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=False)
    found = [answers for made in model.predict(**data) for answers in made.pred_answers]
    scores = torch.tensor([{row['answer']: row['score'] for row in answers}['red'] for answers in found])
    assert len(scores) == 4 and len({round(score, 6) for score in scores.tolist()}) == 4
    torch.testing.assert_close(loss, -scores.log().mean(), rtol=1e-4, atol=1e-5)


def test_answers_are_known_in_any_spelling(picture):
    """Training data have the spelling of the VQA evaluation, a list written by hand need not."""
    image = picture(40, 40)
    losses = [
        losses_of(
            tiny_model(**{'vqa.answers': ('Yes', 'The two dogs', 'red')}),
            [image],
            [sample(image, questions=('what?',), answers=({name: 1.0},))],
        )['loss_vqa']
        for name in ('2 dogs', 'The two dogs', 'yes', 'unknown')
    ]
    assert losses[0] == losses[1] > 0 and losses[2] > 0 and losses[2] != losses[1] and losses[3] == 0


def test_unknown_content_of_questions_is_named():
    with pytest.raises(ValueError, match="content is 'text'; accepted are 'learned' and 'tokens'"):
        tiny_model(**{'vqa.content': 'text'})


def test_a_few_steps_of_joint_training_lower_every_loss(picture):
    """Two images by heart: each task gets better although all share one decoder."""
    model = tiny_model().train()
    images = [picture(64, 64), picture(64, 64, 1)]
    samples = [
        sample(images[0], [0], ['left'], caption='a dog', nouns=('dog',), questions=('who?',), answers=({'yes': 1.0},)),
        sample(
            images[1], [1], ['right'], caption='two cats', nouns=('cat',), questions=('who?',), answers=({'no': 1.0},)
        ),
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    history = []
    for _ in range(16):
        torch.manual_seed(0)  # the same points and prompts in every step
        losses = losses_of(model, images, samples)
        history.append({name: loss.item() for name, loss in losses.items()})
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    for name in ('loss_cls', 'loss_noun', 'loss_grounding_cls', 'loss_captioning', 'loss_retrieval', 'loss_vqa'):
        assert history[-1][name] < 0.9 * history[0][name], name


def test_texts_of_all_tasks_are_encoded_in_one_pass(picture, monkeypatch):
    """Losses are those of separate passes."""
    images = [picture(60, 70), picture(64, 40, 1)]
    samples = [
        sample(images[0], [0, 2], ['a dog', 'grass'], caption='a dog on grass', nouns=('dog',),
               questions=('what?', 'why?'), answers=({'yes': 1.0}, {'no': 1.0}), regions=['a dog']),
        sample(images[1], [1], ['a cat that sits'], caption='', nouns=(), questions=(), answers=()),
    ]  # fmt: skip
    together, apart = [], []
    for calls in (together, apart):
        model = tiny_model().train()
        encode = model.texts._encode_texts
        monkeypatch.setattr(model.texts, '_encode_texts', lambda texts, e=encode, c=calls: c.append(texts) or e(texts))
        if calls is apart:
            for task in model.tasks.values():
                monkeypatch.setattr(type(task), 'training_texts', lambda self, context: [])
        torch.manual_seed(2)
        calls.append(losses_of(model, images, samples))
    losses, expected = together.pop(), apart.pop()
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], atol=1e-6, rtol=1e-6)
    assert len(list(filter(None, together))) == 2 < len(list(filter(None, apart)))  # nouns' prompts are drawn later


def testlayer_class_logits_of_mixed_vocabularies():
    """All layers and images at once give what each gives alone."""
    torch.manual_seed(0)
    vocabularies = [ANIMALS, Vocabulary.from_prompts(things='bus', stuff=''), ANIMALS]
    texts = {vocabulary: torch.randn(len(vocabulary.names) + 1, 8) for vocabulary in vocabularies}
    embeds, scale = [torch.randn(3, 5, 8) for _ in range(4)], torch.tensor(2.0)
    logits = layer_class_logits(embeds, vocabularies, texts, scale)
    assert [len(layer) for layer in logits] == [3] * 4
    for layer, embedding in zip(logits, embeds, strict=True):
        for found, own, vocabulary in zip(layer, embedding, vocabularies, strict=True):
            torch.testing.assert_close(found, cosine_logits(own, texts[vocabulary], scale), atol=1e-6, rtol=1e-6)
