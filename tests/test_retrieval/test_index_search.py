"""Searching an index: the same as comparing each image with each text."""

import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny.retrieval import SQUARE, TEXTS, add, build, needs_faiss

from xdet.apis import TextIndex, find_regions
from xdet.datasets.files.image_io import ImageReadError
from xdet.retrieval.approximate import Recipe


def brute_force(inferencer, image, text, weight):
    """Score of one pair straight from the model."""
    sample = inferencer(image, task='retrieval', texts=[text], return_datasamples=True)['predictions'][0]
    decoder, backbone = sample.pred_embedding
    with torch.no_grad():
        vector = F.normalize(inferencer.model.text_encoder([text]).pooled[0], dim=0)
    return float(weight * decoder @ vector + (1 - weight) * backbone @ vector)


@needs_faiss
@pytest.mark.parametrize('weight', [None, 0.0, 0.3, 1.0])
def test_pictures_for_texts_equal_brute_force(inferencer, photos, weight):
    found = build(inferencer, photos, batch_size=2).search(TEXTS, k=10, decoder_weight=weight)
    assert [len(hits) for hits in found] == [5] * len(TEXTS)
    for text, hits in zip(TEXTS, found, strict=True):
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        for hit in hits:
            expected = brute_force(inferencer, hit.path, text, 0.5 if weight is None else weight)
            assert abs(hit.score - expected) < 2e-6
    if weight is None:
        default = inferencer(hits[0].path, task='retrieval', texts=[text])['predictions'][0]['texts'][0]['score']
        assert abs(hits[0].score - default) < 2e-6


@needs_faiss
def test_texts_for_pictures_equal_pictures_for_texts(inferencer, photos, tmp_path):
    (tmp_path / 'texts.txt').write_text('\n'.join([TEXTS[0], '', *TEXTS, TEXTS[1]]), encoding='utf-8')
    texts = TextIndex.build(inferencer, tmp_path / 'texts.txt', tmp_path / 'texts', show_progress=False)
    pictures = build(inferencer, photos)
    scores = {(hit.path, text): hit.score for text in TEXTS for hit in pictures.search(text, decoder_weight=0.3)[0]}
    paths = sorted({path for path, _ in scores})
    found = texts.search(paths, k=10, decoder_weight=0.3)
    for path, hits in zip(paths, found, strict=True):
        assert {hit.text for hit in hits} == set(TEXTS)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            assert abs(hit.score - scores[path, hit.text]) < 2e-6
    places = {hit.text: (hit.path, hit.line) for hit in found[0]}
    assert places[TEXTS[0]] == (str(tmp_path / 'texts.txt'), 1) and places[TEXTS[2]][1] == 5


@needs_faiss
def test_approximate_search_of_an_index(inferencer, tmp_path):
    folder = tmp_path / 'many'
    add(folder, *(f'{chr(97 + number // 26)}{number}.png' for number in range(256)))
    index = build(inferencer, folder, batch_size=64, pipeline=SQUARE)
    exact = [index.search(TEXTS, k=5, decoder_weight=weight) for weight in (None, 0.3)]
    for recipe in (Recipe('ivfpq', lists=4, code=8, depth=4), Recipe('hnsw', depth=256)):
        index.approximate(recipe, rescore=20)
        for weight, expected in zip((None, 0.3), exact, strict=True):
            for hits, wanted in zip(index.search(TEXTS, k=5, decoder_weight=weight), expected, strict=True):
                np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in wanted], atol=2e-6)
    (folder / 'a0.png').unlink()
    with pytest.raises(ValueError, match='the sample has 255 rows; 256 are needed for 4 lists'):
        build(inferencer, folder, pipeline=SQUARE).approximate(Recipe(lists=4, code=8))


@needs_faiss
def test_few_results(inferencer, photos):
    index = build(inferencer, photos)
    first, second = index.search('night', k=2)[0]
    assert [hit.path for hit in index.search('night', k=100)[0]][:2] == [first.path, second.path]
    assert index.search('night', min_score=1.1) == [[]]
    assert index.search('night', min_score=(first.score + second.score) / 2) == [[first]]


@needs_faiss
def test_bad_queries(inferencer, photos, tmp_path):
    index = build(inferencer, photos)
    for texts in ('', ['night', ' '], [3]):
        with pytest.raises(ValueError, match='is empty or not a string'):
            index.search(texts)
    for k in (0, -1, True, 2.0):
        with pytest.raises(ValueError, match='accepted are whole numbers from 1'):
            index.search('night', k=k)
    with pytest.raises(ValueError, match='decoder_weight is 2'):
        index.search('night', decoder_weight=2)
    (tmp_path / 'texts.txt').write_text('a\nb')
    texts = TextIndex.build(inferencer, tmp_path / 'texts.txt', tmp_path / 'texts', show_progress=False)
    with pytest.raises(ImageReadError, match='broken.jpg'):
        texts.search([photos / 'a.png', photos / 'broken.jpg'])


def test_faiss_is_needed_for_searching_only(inferencer, photos, monkeypatch):
    monkeypatch.setitem(sys.modules, 'faiss', None)
    index = build(inferencer, photos)
    with pytest.raises(ImportError, match=r'searching an index needs faiss .*; pip install "xdet\[retrieval\]"'):
        index.search('night')


@needs_faiss
def test_regions_of_the_best_pictures(inferencer, photos):
    index = build(inferencer, photos)
    hits = index.search('a red block', k=2, decoder_weight=1.0)[0]
    found = find_regions(inferencer, index, 'a red block', k=2, decoder_weight=1.0)
    assert [(region.path, region.score) for region in found] == [(hit.path, hit.score) for hit in hits]
    for region in found:
        sample = inferencer(region.path, task='refseg', phrases=['a red block'], return_datasamples=True)
        phrases = sample['predictions'][0].pred_phrases
        assert region.mask.dtype == bool and region.mask.shape == cv2.imread(region.path).shape[:2]
        assert (region.mask == phrases.masks[0].numpy()).all() and region.mask_score == float(phrases.scores[0])
