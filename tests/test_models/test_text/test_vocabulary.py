from unittest import mock

import pytest
import torch
from parity.cases import Case
from parity.weights import assert_golden, golden

from xdet.compat.official_weights import official_to_xdet
from xdet.models.text import TEMPLATES, TextCache, TextStream, XDecoderTextEncoder
from xdet.models.text import vocabulary as module
from xdet.structures import Vocabulary

PREFIX = 'sem_seg_head.predictor.lang_encoder.'


def _vocabulary(*names):
    return Vocabulary(names, (True,) * len(names))


@pytest.fixture(scope='module')
def focal_t():
    encoder = XDecoderTextEncoder().eval()

    def load(state):
        weights = {key.removeprefix('text_encoder.'): value for key, value in official_to_xdet(state).items()}
        encoder.load_state_dict(weights)
        return TextCache(encoder)

    return load


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return TextCache(XDecoderTextEncoder(width=32, num_heads=4, num_layers=1, embed_dims=16))


def _prompts_encoded(embedder, function):
    """Number of prompts that are encoded while ``function`` runs."""
    with mock.patch.object(embedder, '_pooled', wraps=embedder._pooled) as pooled:
        function()
    return sum(len(call.args[0]) for call in pooled.call_args_list)


def test_equals_golden(focal_t, focal_t_state):
    embedder = focal_t(focal_t_state('golden', PREFIX))
    embeddings = embedder(_vocabulary('dog', 'cat', 'traffic light', 'sky-other-merged'))
    assert_golden(embeddings, golden('a')['text.default_text_embeddings'])


@torch.no_grad()
def test_equals_recorded_case(focal_t, focal_t_state):
    case = Case('text_basic')
    embedder = focal_t(focal_t_state('filler', PREFIX))
    texts = case.json['text']
    case.assert_close('emb_0', embedder(_vocabulary(*texts[0]['names'][:-1])))
    for index in (1, 3):
        case.assert_close(f'emb_{index}', embedder.encode(texts[index]['prompts']))
    case.assert_close('emb_2', embedder(_vocabulary(*texts[2]['names']), prompt=False)[:-1])


@torch.no_grad()
def test_is_the_renormalised_mean_over_the_templates(tiny):
    embeddings = tiny(_vocabulary('red dog', 'sky-other-merged'))
    for row, name in enumerate(['red dog', 'sky', 'background']):
        pooled = torch.cat([tiny.text_encoder([template.format(name)]).pooled for template in TEMPLATES])
        mean = torch.nn.functional.normalize(pooled).mean(0)
        torch.testing.assert_close(embeddings[row], mean / mean.norm())


@torch.no_grad()
def test_class_of_several_texts_is_their_mean(tiny):
    described = Vocabulary(('television', 'bag'), (True, True), (('tv', 'television set', 'screen'), ('handbag',)))
    embeddings = tiny(described)
    mean = tiny(_vocabulary('tv', 'television set', 'screen'))[:3].mean(0)
    torch.testing.assert_close(embeddings[0], mean / mean.norm())
    torch.testing.assert_close(embeddings[1:], tiny(_vocabulary('handbag')))
    torch.testing.assert_close(tiny.sample(described, prompt=False)[:2], tiny.encode(['tv', 'handbag']))


_NAMES = ('dog', 'a rather long name of some thing', 'cat', 'hot-dog', 'traffic light')


@pytest.mark.parametrize('share_from', [1, 99])
@pytest.mark.parametrize('sizes', [(40, 20), (200, 1), (8192, 512)])
def test_chunks_and_sharing_do_not_matter(tiny, share_from, sizes):
    vocabulary = _vocabulary(*_NAMES)
    with torch.no_grad():
        pooled = [tiny.encode([template.format(name) for template in TEMPLATES]).mean(0) for name in _NAMES]
    tiny.share_from = share_from
    with mock.patch.multiple(module, _MAX_TOKENS=sizes[0], _MIN_TOKENS=sizes[1], _NAMES_PER_GROUP=2):
        embeddings = tiny(vocabulary)[:-1]
    torch.testing.assert_close(embeddings, torch.nn.functional.normalize(torch.stack(pooled)))


def _tokens_encoded(embedder, **constants):
    """Tokens per pass while the names are embedded."""
    embedder.clear()
    with (
        mock.patch.multiple(module, **constants),
        mock.patch.object(TextStream, 'step', autospec=True, side_effect=TextStream.step) as step,
    ):
        embedder(_vocabulary(*_NAMES))
    return [call.args[1].numel() for call in step.call_args_list]


@pytest.mark.parametrize('share_from', [1, 99])
def test_chunks_are_bounded(tiny, share_from):
    tiny.share_from = share_from
    assert max(_tokens_encoded(tiny, _MAX_TOKENS=200)) <= 200


def test_what_precedes_the_name_is_encoded_once(tiny):
    alone = sum(_tokens_encoded(tiny, _FORMS={True: ('a photo of a {}.',)}))
    tiny.share_from = 99
    separately = sum(_tokens_encoded(tiny, _FORMS={True: ('a photo of a {}.',)}))
    assert separately - alone == 5 * len(_NAMES)  # start token and four words, for all names but the first; background


def test_a_name_that_joins_what_precedes_it(tiny):
    """Shared tokens are read from whole prompts, so it does not matter where the tokenizer splits them."""
    names = ("'s dog", '. . .', '\N{COMBINING ACUTE ACCENT}', ' ')
    tiny.share_from = 1
    forms = [(template, name) for name in names for template in (*TEMPLATES, 'a{}', 'a photo{}b')]
    with torch.no_grad():
        expected = tiny.text_encoder([template.format(name) for template, name in forms]).pooled
        torch.testing.assert_close(tiny._pooled(forms, share=True), expected)


def test_a_name_that_is_too_long_is_read_in_part(tiny):
    tiny.share_from = 1
    embeddings = tiny(_vocabulary('dog ' * 100, 'dog ' * 101))
    torch.testing.assert_close(embeddings[0], embeddings[1])


def test_a_name_is_encoded_once(tiny):
    assert _prompts_encoded(tiny, lambda: tiny(_vocabulary('dog', 'cat'))) == 3 * 81
    assert _prompts_encoded(tiny, lambda: tiny(_vocabulary('cat', 'dog'))) == 0
    assert _prompts_encoded(tiny, lambda: tiny(_vocabulary('cat', 'owl', 'cat-merged'))) == 81
    assert _prompts_encoded(tiny, lambda: tiny(_vocabulary('cat'), prompt=False)) == 2


def test_new_weights_are_noticed(tiny):
    vocabulary = _vocabulary('dog')
    before = tiny(vocabulary)
    with torch.no_grad():
        tiny.text_encoder.text_projection[0, 0] += 1
    after = tiny(vocabulary)
    assert not torch.equal(before, after)
    tiny.text_encoder.load_state_dict(tiny.text_encoder.state_dict())
    assert _prompts_encoded(tiny, lambda: tiny(vocabulary)) == 2 * 81
    tiny.text_encoder.double()
    assert tiny(vocabulary).dtype == torch.float64


def test_clear_forgets(tiny):
    tiny(_vocabulary('dog'))
    tiny.clear()
    assert _prompts_encoded(tiny, lambda: tiny(_vocabulary('dog'))) == 2 * 81


def test_memory_is_bounded_and_forgets_the_least_recently_used(tiny):
    tiny.capacity = 3
    tiny(_vocabulary('a', 'b'))  # and background
    tiny(_vocabulary('a'))
    tiny(_vocabulary('c'))  # b goes
    assert _prompts_encoded(tiny, lambda: tiny(_vocabulary('a', 'c'))) == 0
    assert _prompts_encoded(tiny, lambda: tiny(_vocabulary('b'))) == 81
    many = _vocabulary(*(f'thing {i}' for i in range(8)))
    assert tiny(many).shape == (9, 16) and len(tiny._memory) == 3


def test_made_in_inference_mode_but_usable_in_training(tiny):
    with torch.inference_mode():
        tiny(_vocabulary('dog'))
    weight = torch.ones(16, requires_grad=True)
    (tiny(_vocabulary('dog')) * weight).sum().backward()
    assert weight.grad is not None


def test_autocast_does_not_leak_into_full_precision(tiny):
    vocabulary = _vocabulary('dog')
    full = tiny(vocabulary)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        tiny(vocabulary)
    assert torch.equal(tiny(vocabulary), full)


def test_sample_follows_torch_seed_and_carries_gradients(tiny):
    vocabulary = _vocabulary('a, b+c', 'sky-stuff')
    torch.manual_seed(3)
    choices = torch.randint(81, (3,)).tolist()
    torch.manual_seed(3)
    sampled = tiny.sample(vocabulary)
    prompts = [
        TEMPLATES[choice].format(name) for choice, name in zip(choices, ['a b c', 'sky', 'background'], strict=True)
    ]
    torch.testing.assert_close(sampled, torch.nn.functional.normalize(tiny.text_encoder(prompts).pooled))
    sampled.sum().backward()
    assert tiny.text_encoder.text_projection.grad.abs().sum() > 0


def test_sample_encodes_equal_prompts_once(tiny):
    vocabulary = _vocabulary('dog', 'dog-other', 'dog-merged')
    with mock.patch.object(tiny.text_encoder, 'forward', wraps=tiny.text_encoder.forward) as forward:
        sampled = tiny.sample(vocabulary, prompt=False)
        with mock.patch.object(module, 'TEMPLATES', ('{}.',)):
            prompted = tiny.sample(vocabulary)
    assert [len(call.args[0]) for call in forward.call_args_list] == [4, 2]
    assert sampled.shape == prompted.shape == (4, 16)
    assert torch.equal(prompted[0], prompted[2])


def test_progress_is_shown_for_many_new_names(tiny, capsys):
    vocabulary = _vocabulary(*(f'thing {i}' for i in range(4)))
    with mock.patch.object(module, '_PROGRESS_FROM', 3):
        tiny(vocabulary)
        assert 'Embedding 5 class names' in capsys.readouterr().err
        tiny(vocabulary)
    assert not capsys.readouterr().err
