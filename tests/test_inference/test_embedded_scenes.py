"""The embedded model of the generated world: it fits its config, it is small, and it knows its world."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xdet.apis import XDecoderInferencer
from xdet.evaluation import PanopticQuality
from xdet.model_zoo import EMBEDDED
from xdet.scenes.captions import canonical_caption
from xdet.scenes.description import VOCABULARY
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene
from xdet.structures import segment_map

DEMO = Path(__file__).resolve().parents[2] / 'demo' / 'demo_scene.png'


@pytest.fixture(scope='module')
def inferencer():
    return XDecoderInferencer('scenes', device='cpu')


def test_weights_are_small_enough_to_ship():
    assert EMBEDDED['scenes'].weights.stat().st_size <= 20e6


def test_demo_picture_is_right(inferencer):
    segments = inferencer(DEMO)['predictions'][0]['segments']
    found = {segment['name'] for segment in segments}
    assert found == {'sand', 'sky', 'orange cross', 'red cross', 'blue circle', 'green heart'}


def test_held_out_scenes(inferencer):
    """PQ on 500 held-out scenes is 92 (docs/scenes.md); a sample of 40 may be a little worse, not much."""
    metric = PanopticQuality()
    metric.dataset_meta = dict(classes=VOCABULARY.names, vocabulary=VOCABULARY)
    scenes = [render_scene(sample_scene('test', 0, index), 128) for index in range(40)]
    images = [np.ascontiguousarray(scene.image) for scene in scenes]
    samples = inferencer(images, batch_size=20, return_datasamples=True, show_progress=False)['predictions']
    for scene, sample in zip(scenes, samples, strict=True):
        ids = torch.from_numpy(scene.segment_map.astype(np.int32))
        sample.gt_panoptic_seg = segment_map(ids, scene.segments_info)
    metric.process({}, [sample.to_dict() for sample in samples])
    quality = metric.evaluate(len(samples))
    assert next(value for key, value in quality.items() if key.endswith('PQ')) > 87


def test_demo_picture_in_words(inferencer):
    """What every other task says of it, as the documents show."""
    inferencer.set_image(DEMO)
    (caption,) = inferencer.predict('caption')['predictions'][0]['captions']
    words = caption['text'].replace(' ,', ',')
    assert words == 'sky above sand with a red cross, an orange cross, a green heart and a blue circle'
    found = inferencer.predict('refseg', phrases='the red cross . the lowest cross')['predictions'][0]['segments']
    red, lowest = (segment['bbox'] for segment in found)
    assert red[0] > lowest[0] + 50 and red[1] < lowest[1]
    answers = inferencer.predict('vqa', questions='what shape is the blue object?')['predictions'][0]['answers']
    assert answers[0]['answers'][0]['answer'] == 'circle'


def test_held_out_phrases_and_retrieval(inferencer):
    """cIoU of plain phrases is 98 and R@1 among 100 scenes 95 (docs/scenes.md)."""
    scenes = [sample_scene('test', 0, index) for index in range(20)]
    images = [np.ascontiguousarray(render_scene(scene, 128).image) for scene in scenes]
    texts = [canonical_caption(scene).text for scene in scenes]
    rankings = inferencer(images, task='retrieval', texts=texts, batch_size=20, show_progress=False)['rankings']
    first = [ranking['images'][0]['index'] for ranking in rankings]
    assert sum(index == number for number, index in enumerate(first)) >= 18


def test_words_of_another_world_are_told(inferencer, caplog):
    """Beside every result, which says it in any case."""
    segments = inferencer(DEMO, things='red cross . cat', stuff='sky', no_save_vis=True)['predictions'][0]
    assert 'asked for cat, far from what this model was trained with' in caplog.text and segments['unknown_prompts']
    assert segments['provenance']['note'] == EMBEDDED['scenes'].knows
