"""Greedy search, beam search and sampling on a toy language whose best texts can be enumerated."""

import itertools

import pytest
import torch

from xdet.models.text import END_TOKEN, START_TOKEN
from xdet.tasks.generation import GenerationSettings, generate

WORDS = 4  # besides the end token, which a Toy model maps to the last column


class Toy:
    """Next-token logits that depend on the whole text so far, different for every item."""

    def __init__(self, items, rows, seed=0):
        self.seed, self.items = seed, items
        self.texts = [() for _ in range(items * rows)]
        self.rows = rows
        self.steps = 0

    def step(self, ids):
        self.steps += 1
        self.texts = [(*text, token) for text, token in zip(self.texts, ids.tolist(), strict=True)]
        rows = [logits_of(text, row // self.rows + self.seed) for row, text in enumerate(self.texts)]
        full = torch.full((len(rows), END_TOKEN + 1), -1e4)
        full[:, :WORDS] = torch.stack(rows)[:, :WORDS]
        full[:, END_TOKEN] = torch.stack(rows)[:, WORDS]
        return full

    def reorder(self, rows):
        assert (rows // self.rows == torch.arange(len(rows)) // self.rows).all(), 'rows must stay with their item'
        self.texts = [self.texts[row] for row in rows.tolist()]


def logits_of(text, item):
    generator = torch.Generator().manual_seed(hash((item, text)) % 2**31)
    return 2 * torch.randn(WORDS + 1, generator=generator)


def enumerated(item, length, penalty):
    """All texts of up to ``length`` tokens with their total log-probabilities, best first by the ranking."""
    found = []
    for size in range(length + 1):
        for words in itertools.product(range(WORDS), repeat=size):
            total, text = 0.0, (START_TOKEN,)
            for token in words:
                total += logits_of(text, item).log_softmax(0)[token].item()
                text = (*text, token)
            if size < length:
                total += logits_of(text, item).log_softmax(0)[WORDS].item()
                words = (*words, END_TOKEN)
            found.append((total / max(len(words), 1) ** penalty, words))
    return sorted(found, reverse=True)


def test_greedy_takes_the_best_token_and_stops_at_the_end():
    toy = Toy(3, 1)
    texts = generate(toy, 3, GenerationSettings(max_tokens=30), torch.device('cpu'))
    for item, (text,) in enumerate(texts):
        so_far, total = (START_TOKEN,), 0.0
        for token in text.ids:
            logits = logits_of(so_far, item).log_softmax(0)
            best = logits.argmax().item()
            assert token == (END_TOKEN if best == WORDS else best)
            total += logits.max().item()
            so_far = (*so_far, token)
        assert text.log_prob == pytest.approx(total, abs=1e-4)
        assert text.score == pytest.approx(total / len(text.ids), abs=1e-4)
    assert toy.steps == max(len(text.ids) for (text,) in texts)


@pytest.mark.parametrize('penalty', [-1.0, 0.0, 1.0, 2.5])
def test_a_wide_beam_finds_the_best_texts(penalty):
    settings = GenerationSettings(max_tokens=3, num_beams=64, length_penalty=penalty, num_texts=3)
    found = generate(Toy(2, 64), 2, settings, torch.device('cpu'))
    for item, texts in enumerate(found):
        expected = enumerated(item, 3, penalty)[:3]
        assert [text.ids for text in texts] == [words for _, words in expected]
        assert texts[0].log_prob / len(texts[0].ids) ** penalty == pytest.approx(expected[0][0], abs=1e-4)


def test_beams_of_several_items_equal_beams_alone_and_are_no_worse_than_greedy():
    settings = GenerationSettings(max_tokens=8, num_beams=4)
    together = generate(Toy(3, 4), 3, settings, torch.device('cpu'))
    for item in range(3):
        alone = generate(Toy(1, 4, seed=item), 1, settings, torch.device('cpu'))
        assert [text.ids for text in alone[0]] == [text.ids for text in together[item]]
        greedy = generate(Toy(1, 1, seed=item), 1, GenerationSettings(max_tokens=8), torch.device('cpu'))
        assert together[item][0].score >= greedy[0][0].score - 1e-6


def test_beam_search_stops_when_nothing_better_can_come():
    toy = Toy(1, 4)
    generate(toy, 1, GenerationSettings(max_tokens=60, num_beams=4), torch.device('cpu'))
    assert toy.steps < 60


def test_sampling_depends_on_the_seed_not_on_the_batch():
    def draw(seed, items=1, first=0):
        settings = GenerationSettings(max_tokens=12, top_p=0.95, seed=seed, num_texts=2)
        texts = generate(Toy(items, 2, seed=first), items, settings, torch.device('cpu'))
        return [[text.ids for text in item] for item in texts]

    assert draw(3) == draw(3)
    assert any(draw(3) != draw(seed) for seed in range(4, 8))
    assert draw(3, items=3)[2] == draw(3, first=2)[0]


def test_sampling_stays_in_the_nucleus_and_has_the_right_frequencies():
    class Fixed:
        def step(self, ids):
            return torch.tensor([0.5, 0.3, 0.2]).log().expand(len(ids), -1)

        def reorder(self, rows):
            raise AssertionError

    settings = GenerationSettings(max_tokens=1, top_p=0.7, num_texts=4000)
    drawn = [text.ids[0] for text in generate(Fixed(), 1, settings, torch.device('cpu'))[0]]
    assert set(drawn) == {0, 1}
    assert drawn.count(0) / len(drawn) == pytest.approx(0.5 / 0.8, abs=0.03)


@pytest.mark.parametrize('num_texts', [1, 4])
def test_beam_search_makes_up_nothing_when_there_are_fewer_texts_than_beams(num_texts):
    """Only 'word end' and 'end' are possible; beams without a text must not be reported."""

    class Poor:
        def step(self, ids):
            logits = torch.full((len(ids), END_TOKEN + 1), -torch.inf)
            logits[:, END_TOKEN] = 1.0
            logits[ids == START_TOKEN, 7] = 0.0
            return logits

        def reorder(self, rows):
            pass

    settings = GenerationSettings(max_tokens=5, num_beams=4, num_texts=num_texts)
    (texts,) = generate(Poor(), 1, settings, torch.device('cpu'))
    assert [text.ids for text in texts] == [(END_TOKEN,), (7, END_TOKEN)][:num_texts]


def test_one_token_is_enough_for_a_beam():
    settings = GenerationSettings(max_tokens=1, num_beams=3, num_texts=3)
    (texts,) = generate(Toy(1, 3), 1, settings, torch.device('cpu'))
    expected = logits_of((START_TOKEN,), 0).log_softmax(0).sort(descending=True).values[:3]
    assert [text.log_prob for text in texts] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_beams=0), 'num_beams is 0'),
        (dict(max_tokens=True), 'max_tokens is True'),
        (dict(top_p=1.5), 'top_p is 1.5'),
        (dict(top_p='0.5'), "top_p is '0.5'"),
        (dict(temperature=0), 'temperature is 0'),
        (dict(temperature=float('nan')), 'temperature is nan'),
        (dict(length_penalty=None), 'length_penalty is None'),
        (dict(seed=1.5), 'seed is 1.5'),
        (dict(temperature=1e-300), 'temperature is 1e-300'),
        (dict(temperature=10**400), 'temperature is'),
        (dict(top_p=1e-320), 'top_p is 1e-320'),
        (dict(length_penalty=1e300), 'length_penalty is'),
        (dict(length_penalty=-1e300), 'length_penalty is'),
        (dict(seed=2**64), 'seed is 18446744073709551616'),
        (dict(num_beams=2**70), 'num_beams is'),
        (dict(max_tokens=10**9), 'max_tokens is'),
        (dict(num_texts=[1] * 100_000), 'num_texts is a list of 100000 entries'),
        (dict(num_beams=3, top_p=0.9), 'either num_beams or top_p'),
        (dict(num_texts=2), 'needs sampling'),
        (dict(beam=2), 'unknown generation settings.*num_beams'),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        GenerationSettings().override(settings)
