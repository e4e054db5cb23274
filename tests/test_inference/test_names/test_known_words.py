"""Prompts far from the training of a model are marked wherever a result is seen; without a vocabulary nothing is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from xdet.apis import XDecoderInferencer
from xdet.compat.checkpoint import save_weights
from xdet.inference.inputs.options import options_of_task
from xdet.inference.inputs.requests import make_requests
from xdet.inference.names.known_words import WordCheck, embed, familiarity
from xdet.model_zoo import EMBEDDED
from xdet.structures import KnownWords, TextPrompts, Vocabulary

IMAGE = np.random.RandomState(0).randint(0, 255, (40, 60, 3), np.uint8)


class Encoder:
    """Two directions of meaning: animals and food."""

    embed_dims = 2
    animals = ('dog', 'cat', 'puppy', 'kitten', 'wolf', 'brown wolf')

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> SimpleNamespace:
        self.asked += texts
        return SimpleNamespace(
            pooled=torch.tensor([[3.0, 0.1] if text in self.animals else [0.1, 3.0] for text in texts])
        )


KNOWN = KnownWords(
    ('dog', 'cat'),
    frozenset('the dog on left of a'.split()),
    frozenset('is there a cake how many'.split()),
    ('puppy',),
    ('pizza', 'bread', 'wolf spider'),
    0.5,
)


@pytest.fixture
def check() -> WordCheck:
    return WordCheck(KNOWN, Encoder())


@pytest.mark.parametrize(
    ('text', 'kind', 'far'),
    [
        ('kitten', 'names', ()),
        ('pasta', 'names', ('pasta',)),
        ('cake', 'names', ('cake',)),  # heard of, but never seen
        ('the kitten on the left', 'phrases', ()),
        ('the red pasta beside a running wolf', 'phrases', ('pasta',)),
        ('pasta or bread', 'phrases', ('pasta', 'bread')),
        ('brown wolf', 'phrases', ()),
        ('is there a cake?', 'texts', ()),
        ('how many kittens and soups are standing there?', 'texts', ('kittens', 'soups')),
        ('pasta, the pasta', 'phrases', ('pasta',)),
    ],
)
def test_distance_decides_about_new_words(check: WordCheck, text: str, kind: str, far: tuple[str, ...]) -> None:
    assert check.far_words([text], kind).get(text, ()) == far


@pytest.mark.parametrize('text', ['dog', 'Dogs', 'cat', 'puppy', 'the dog', 'pizza', 'Pizza', 'wolf spider'])
def test_listed_names_need_no_encoder(check: WordCheck, text: str) -> None:
    far = check.far_words([text], 'names')
    assert (text in far) is (text.lower() in KNOWN.others) and check.text_encoder.asked == []


def test_every_text_is_encoded_once(check: WordCheck) -> None:
    for _ in range(3):
        assert set(check.far_words(['kitten', 'pasta', 'soup'], 'names')) == {'pasta', 'soup'}
    assert len(check.text_encoder.asked) == len(set(check.text_encoder.asked)) == 6 + 3


def test_without_a_threshold_words_alone_count() -> None:
    check = WordCheck(KNOWN.unmeasured(), Encoder())
    assert check.far_words(['kitten', 'the dog'], 'names') == {'kitten': ('kitten',)}
    assert check.far_words(['the striped dog'], 'phrases') == {'the striped dog': ('striped',)}
    assert check.text_encoder.asked == []


def test_a_class_is_known_if_one_of_its_texts_is(check: WordCheck) -> None:
    vocabulary = Vocabulary(('pet', 'meal'), (True, True), (('pasta', 'kitten'), ('pasta', 'soup')))
    assert check.of_prompts(TextPrompts(vocabulary=vocabulary)) == {'meal': ('pasta',)}


def test_many_prompts_are_not_all_remembered(check: WordCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('xdet.inference.names.known_words._REMEMBERED', 3)
    for text in ('bun', 'fig', 'jam', 'pie', 'rice'):
        assert check.far_words(['pasta', text], 'names') == {'pasta': ('pasta',), text: (text,)}
        assert len(check._found) <= 3


def test_familiarity_is_the_share_of_known_neighbours() -> None:
    assert familiarity(torch.tensor([[0.5], [-1.0]]), torch.tensor([[0.5], [1.0]])).tolist() == pytest.approx(
        [0.5, 0.0], abs=1e-6
    )
    assert familiarity(torch.ones(1, 400), torch.ones(1, 0)).tolist() == pytest.approx([1.0])
    near = familiarity(torch.tensor([[0.9, 0.2]]), torch.tensor([[0.8, 0.2]]))
    assert near.item() == pytest.approx(np.exp([9, 2]).sum() / np.exp([9, 8, 2, 2]).sum())


def test_embeddings_have_unit_length() -> None:
    assert embed(Encoder(), ['dog', 'pasta']).norm(dim=1).tolist() == pytest.approx([1.0, 1.0])
    assert embed(Encoder(), []).shape == (0, 2)


@pytest.mark.parametrize(
    ('prompts', 'far'),
    [
        (dict(phrases='the red circle . Brick Wall'), []),
        (dict(phrases=['a person', 'the person on the grass']), ['person']),
        (dict(things='red car . blue circles'), ['car']),
        (dict(questions='how many striped stars are there?'), []),
        (dict(texts='été 5'), ['été']),
        (dict(texts='a crimson circle'), ['crimson']),
    ],
)
def test_words_of_another_world_than_the_embedded_model(prompts: dict, far: list[str]) -> None:
    [task] = [
        {'phrases': 'refseg', 'things': 'panoptic', 'questions': 'vqa', 'texts': 'retrieval'}[key] for key in prompts
    ]
    [request] = make_requests(task, prompts, {}, 1)
    found = WordCheck(EMBEDDED['scenes'].known_words, Encoder()).of_prompts(request)
    assert sorted({word for words in found.values() for word in words}) == far


# ------------------------------------------------------------------------------------------------------- what is seen


@pytest.fixture(scope='module')
def knowing(inferencer: XDecoderInferencer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[XDecoderInferencer]:
    """A model whose weights brought a vocabulary along."""
    path = tmp_path_factory.mktemp('weights') / 'tiny.safetensors'
    save_weights(inferencer.model, path, dtype=None, known_words=KNOWN.unmeasured())
    return XDecoderInferencer(inferencer.cfg, path, device='cpu')


@pytest.mark.parametrize(
    ('task', 'prompts', 'far'),
    [
        ('panoptic', dict(things='dog . zebra', stuff='sky'), {'zebra': ['zebra'], 'sky': ['sky']}),
        ('semantic', dict(classes='dog . zebra'), {'zebra': ['zebra']}),
        ('instance', dict(classes='dog . zebra'), {'zebra': ['zebra']}),
        ('classification', dict(classes='dog . zebra'), {'zebra': ['zebra']}),
        ('refseg', dict(phrases='the dog . the zebra'), {'the zebra': ['zebra']}),
        ('refcaption', dict(phrases='a zebra'), {'a zebra': ['zebra']}),
        ('vqa', dict(questions='is there a zebra?'), {'is there a zebra?': ['zebra']}),
        ('retrieval', dict(texts='a cake . a zebra'), {'a zebra': ['zebra']}),
    ],
)
def test_marks(
    knowing: XDecoderInferencer,
    task: str,
    prompts: dict,
    far: dict,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options: dict[str, Any] = dict(task=task, show_progress=False, return_vis=True)
    if 'pred_score_thr' in options_of_task(task):
        options['pred_score_thr'] = 0.0
    with caplog.at_level(logging.WARNING):
        result = knowing(IMAGE, **prompts, **options, out_dir=tmp_path, print_result=True)
    [prediction] = result['predictions']
    expected = [dict(prompt=prompt, words=words) for prompt, words in far.items()]
    assert prediction['unknown_prompts'] == expected
    assert json.loads((tmp_path / prediction['files']['json']).read_text())['unknown_prompts'] == expected
    assert f'  not trained with (?): {", ".join(far)}\n' in capsys.readouterr().out
    [line] = [record.getMessage() for record in caplog.records if 'asked for' in record.getMessage()]
    words = dict.fromkeys(word for words in far.values() for word in words)
    assert line.startswith(f'asked for {", ".join(words)}, far from what this model was trained with')
    knowing.set_image(IMAGE)
    [again] = knowing.predict(task, **prompts)['predictions']
    assert again['unknown_prompts'] == expected
    check, knowing.word_check = knowing.word_check, None
    [plain] = knowing(IMAGE, **prompts, **options)['visualization']
    knowing.word_check = check
    drawn = result['visualization'][0]
    assert drawn.shape[0] > plain.shape[0] and drawn.shape[1] == plain.shape[1]


def test_nothing_is_marked_that_is_known(knowing: XDecoderInferencer, caplog: pytest.LogCaptureFixture) -> None:
    [prediction] = knowing(IMAGE, classes='dog . puppies', task='semantic')['predictions']
    assert 'unknown_prompts' not in prediction and 'asked for' not in caplog.text


def test_texts_of_a_search_are_looked_at(knowing: XDecoderInferencer, caplog: pytest.LogCaptureFixture) -> None:
    knowing.warn_of_far(['a cake', 'a zebra and a zebra'])
    assert 'asked for zebra, far from' in caplog.text


def test_weights_without_a_vocabulary_never_mark(
    inferencer: XDecoderInferencer, caplog: pytest.LogCaptureFixture
) -> None:
    assert inferencer.word_check is None
    [prediction] = inferencer(IMAGE, classes='zebra', task='semantic')['predictions']
    assert 'unknown_prompts' not in prediction and 'asked for' not in caplog.text
    inferencer.warn_of_far(['zebra'])
    assert 'asked for' not in caplog.text
