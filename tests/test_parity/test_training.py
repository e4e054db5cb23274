"""Full-size Focal-T in training against losses, matchings and gradients recorded from the official model.

The pictures belong to third parties, so these references lie outside the repository and the tests are skipped without
them; ``tests/test_models/test_losses`` checks the same losses against their definition.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from parity.model import full_size_model

from xdet.models.losses import HungarianMatcher
from xdet.models.losses import points as point_sampling
from xdet.structures import Vocabulary, XDetDataSample

ROOT = Path(__file__).resolve().parents[2] / '..' / 'shared' / 'fixtures' / 'public'
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason='reference losses on photographs are not on this machine')

LOSSES = {'loss_cls': 'loss_mask_ce', 'loss_mask': 'loss_mask_bce', 'loss_dice': 'loss_mask_dice'}
PREDICTIONS = (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)  # the official model counts from the final prediction
SLOW = pytest.mark.slow


class Case:
    """One recorded training step."""

    def __init__(self, name):
        meta = json.loads((ROOT / 'index_train.json').read_text())['cases'][name]
        self.json, self.num_classes = meta['json'], meta['num_classes']
        self.arrays, inputs = np.load(ROOT / meta['file']), np.load(ROOT / meta['inputs_file'])
        self.images, self.samples = [], []
        vocabulary = Vocabulary(tuple(f'class {i}' for i in range(self.num_classes)), (True,) * self.num_classes)
        for number in range(sum(key.startswith('coco') and key.endswith('_image') for key in inputs)):
            self.images.append(torch.from_numpy(inputs[f'coco{number}_image']))
            self.samples.append(XDetDataSample(metainfo=dict(vocabulary=vocabulary)))
            self.samples[-1].gt_segments = InstanceData(
                masks=torch.from_numpy(inputs[f'coco{number}_gt_masks']).bool(),
                labels=torch.from_numpy(inputs[f'coco{number}_gt_classes']),
            )

    def matchings(self):
        """Recorded costs and matches ``(queries, segments)`` of the mask matcher: per layer, per image."""
        solved, layers = 0, []
        for mode, images in self.json['matcher_calls(mode, per image (query idx, target idx))']:
            if mode == 'default':
                costs = [self.arrays[f'lsa{solved + number:02d}_cost'] for number in range(len(images))]
                layers.append(list(zip(costs, images, strict=True)))
            solved += len(images)
        return layers


@pytest.fixture(scope='module')
def model(focal_t_state):
    model = full_size_model('focal-t', focal_t_state('filler'), **{'model.backbone.drop_path_rate': 0.0})
    return model.train()


@pytest.fixture
def recorded_points(monkeypatch):
    """The points that were drawn when the references were made."""
    recorded = np.load(ROOT / 'points.npz')

    def uniform_points(num_sets, num_points, device, dtype=torch.float32):
        return torch.from_numpy(recorded[f'P{num_points}'])[None].expand(num_sets, -1, -1).to(dtype)

    monkeypatch.setattr(point_sampling, 'uniform_points', uniform_points)


def train_step(model, case, monkeypatch):
    """Losses, and per image the matching costs ``[L, No, n]`` and matches ``[L, n]``."""
    prompts = case.json['tokenizer_texts_in_order'][: case.num_classes + 1]
    monkeypatch.setattr(model.vocabulary, 'sample', lambda vocabulary: model.vocabulary.encode(prompts))
    costs, matches = [], []
    compute, match = HungarianMatcher.costs, HungarianMatcher.__call__

    def record_costs(self, *args):
        terms = compute(self, *args)
        costs.append(sum(terms.values()).numpy())
        return terms

    def record_matches(self, *args):
        matches.append(match(self, *args))
        return matches[-1]

    monkeypatch.setattr(HungarianMatcher, 'costs', record_costs)
    monkeypatch.setattr(HungarianMatcher, '__call__', record_matches)
    data = dict(inputs=[image.flip(0) for image in case.images], data_samples=case.samples)
    return model(**model.data_preprocessor(data, training=True), mode='loss'), costs, matches


@pytest.mark.parametrize('name', ['train_small', pytest.param('train_coco133', marks=SLOW)])
def test_losses_and_matchings(model, recorded_points, monkeypatch, name):
    case = Case(name)
    with torch.no_grad():
        losses, costs, matches = train_step(model, case, monkeypatch)
    for layer, images in zip(PREDICTIONS, case.matchings(), strict=True):
        for index, (cost, (queries, segments)) in enumerate(images):
            np.testing.assert_allclose(costs[index][layer], cost, rtol=0, atol=3e-4)
            assert matches[index][layer, segments].tolist() == queries
    assert len(losses) == 3 * len(PREDICTIONS)
    for number, layer in enumerate(PREDICTIONS):
        for ours, theirs in LOSSES.items():
            found = losses[ours if layer == max(PREDICTIONS) else f'd{layer}.{ours}'].item()
            assert found == pytest.approx(case.json['weighted_losses'][f'{theirs}_{number}'], rel=1e-4), (layer, ours)
