"""Full-size Focal-T on photographs against outputs recorded from the official model.

The pictures belong to third parties, so this second, larger set of references lies outside the repository and the
tests are skipped without it. ``test_golden.py`` covers every stage with data of the project's own.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from parity.model import full_size_model, phrase_groups, run_stages

from xdet.models import postprocess
from xdet.models.decoder import IMAGE, OBJECT, cosine_logits
from xdet.structures import Vocabulary

ROOT = Path(__file__).resolve().parents[2] / '..' / 'shared' / 'fixtures' / 'public'
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason='reference outputs on photographs are not on this machine')

SLOW = pytest.mark.slow
SEGMENTATION = [
    'eval_tiny',
    'eval_tiny_stuff',
    pytest.param('eval_tiny_semonly', marks=SLOW),
    'eval_tiny_instonly',
    pytest.param('eval_sem_open', marks=SLOW),
    pytest.param('eval_inst_owl', marks=SLOW),
    'eval_batch2',
    pytest.param('eval_coco133', marks=SLOW),
]
REFERRING = [pytest.param('ground_1', marks=SLOW), 'ground_2_street', pytest.param('ground_3', marks=SLOW)]


class Case:
    """One recorded case: what went in, what came out and how far an exact implementation may be off."""

    def __init__(self, name):
        meta = json.loads((ROOT / 'index.json').read_text())['cases'][name]
        self.spec, self.json, self.tensors = meta['spec'], meta['json'], meta['tensors']
        self.arrays = np.load(ROOT / meta['file'])
        inputs = np.load(ROOT / meta['inputs_file'])
        numbers = range(sum(key.startswith('image') for key in inputs))
        self.images = [torch.from_numpy(inputs[f'image{number}']) for number in numbers]
        self.sizes = [tuple(inputs[f'out_hw{number}'].tolist()) for number in numbers]

    def check(self, key, tensor):
        """At most the stated share of values is off by more than the stated tolerance."""
        meta = self.tensors[key]
        assert list(tensor.shape) == meta['shape_full'], key
        part = tensor.numpy()[tuple(slice(None, None, step) for step in meta.get('strides', [1] * tensor.ndim))]
        difference = np.abs(part.astype(np.float64) - self.arrays[key])
        suggested = meta['suggested']
        assert (~(difference <= suggested['atol'])).mean() <= suggested['max_bad_fraction'], key

    def bits(self, key):
        """A recorded binary map; all False where none was recorded."""
        if key not in self.tensors:
            return np.zeros((), dtype=bool)
        shape = self.tensors[key]['shape_full']
        return np.unpackbits(self.arrays[key])[: int(np.prod(shape))].reshape(shape).astype(bool)


@pytest.fixture(scope='module')
def model(focal_t_state):
    return full_size_model('focal-t', focal_t_state('filler'))


def check_encoder(case, stages):
    case.check('input', stages.inputs)
    for index, level in enumerate(stages.features.backbone):
        case.check(f'res{index + 2}', level)
    case.check('mask_features', stages.features.mask_features)
    for index, level in enumerate(stages.features.memory):
        case.check(f'multi_scale_{index}', level)


def embed(model, text):
    """Text embeddings of a recorded vocabulary; its random prompts were recorded with it."""
    if text['prompts']:
        return model.vocabulary.encode(text['prompts'])
    names = tuple(text['names'][:-1])
    return model.vocabulary(Vocabulary(names, (True,) * len(names)))


@torch.no_grad()
@pytest.mark.parametrize('name', SEGMENTATION)
def test_segmentation(model, name):
    case = Case(name)
    stages = run_stages(model, case.images)
    check_encoder(case, stages)
    text = embed(model, case.json['text'][0])
    case.check('text_emb', text)
    scale = model.text_encoder.logit_scale
    logits = cosine_logits(stages.class_embed(-1), text, scale)
    case.check('pred_logits', logits)
    case.check('pred_masks', stages.masks(-1))
    case.check('pred_captions', stages.class_embed(-1))
    if 'aux_logits' in case.tensors:
        aux = [cosine_logits(stages.class_embed(layer), text, scale) for layer in range(9)]
        case.check('aux_logits', torch.stack(aux))
        case.check('aux_captions', torch.stack([stages.class_embed(layer) for layer in range(9)]))
        case.check('aux_masks_0_4_8', torch.stack([stages.masks(layer) for layer in (0, 4, 8)]))
    for index in range(len(case.images)):
        check_results(case, stages, logits[index], index)


def check_results(case, stages, logits, index):
    size = case.sizes[index]
    masks = postprocess.mask_logits(
        stages.outputs.last.mask_embed[index],
        stages.features.mask_features[index],
        tuple(case.images[index].shape[-2:]),
        size,
    )
    is_thing = [label in case.spec['things'] for label in range(logits.shape[1] - 1)]
    prefix = f'img{index}_'
    case.check(prefix + 'masks_up', masks)

    def select(queries):
        return masks[queries]

    if prefix + 'sem_seg' in case.tensors:
        case.check(prefix + 'sem_seg', postprocess.semantic_scores(logits, select, size))
        labels = postprocess.semantic_labels(logits, select, size).numpy()
        wrong = (labels != case.arrays[prefix + 'sem_argmax']) & ~case.bits(prefix + 'sem_ambiguous_bits')
        assert wrong.mean() <= 1e-3
    if prefix + 'panoptic' in case.tensors:
        relaxed = case.json['relaxed_thresholds(object_mask, overlap)']
        for suffix, thresholds in (('', (0.8, 0.8)), ('_relaxed', relaxed)):
            segments, infos = postprocess.panoptic_segments(logits, select, size, is_thing, *thresholds)
            expected = case.json['images'][index]['segments_info' + suffix]
            assert [(info['id'], info['is_thing'], info['label']) for info in infos] == [
                (info['id'], info['isthing'], info['category_id']) for info in expected
            ]
            assert (segments.numpy() != case.arrays[f'{prefix}panoptic{suffix}']).mean() <= 1e-3
    if prefix + 'inst_scores' in case.tensors:
        things_only = case.spec.get('flags', [True, True, True])[1]
        found = postprocess.instances(logits, select, size, is_thing, 100, things_only)
        scores, labels = case.arrays[prefix + 'inst_scores'], case.arrays[prefix + 'inst_classes']
        assert len(found) == len(scores)
        ours = np.lexsort((-found.scores.numpy(), found.labels.numpy()))
        theirs = np.lexsort((-scores, labels))
        assert (found.labels.numpy()[ours] == labels[theirs]).all()
        assert np.abs(found.scores.numpy()[ours] - scores[theirs]).max() < 1e-3


@torch.no_grad()
@pytest.mark.parametrize('name', REFERRING)
def test_phrase_groups(model, name):
    """Referring segmentation through the same decoder; pins the official index of the unmasked query, too."""
    case = Case(name)
    groups, pooled = phrase_groups(model, case.json['phrases'])
    case.check('grounding_tokens', groups[1].content[0])
    case.check('phrase_emb', pooled)
    stages = run_stages(model, case.images, groups)
    check_encoder(case, stages)
    every = (OBJECT, IMAGE, 'phrase')
    case.check('pred_masks', stages.masks(-1, *every))
    case.check('pred_captions', stages.class_embed(-1, *every))
    unit = pooled / pooled.norm(dim=-1, keepdim=True)
    similarity = cosine_logits(stages.class_embed(-1, 'phrase')[0], unit, model.text_encoder.logit_scale)
    case.check('similarity', similarity)
    best = similarity.argmax(dim=0)
    assert best.tolist() == case.arrays['matched_id'].tolist()
    prediction = stages.outputs.last
    masks = postprocess.mask_logits(
        prediction.rows(prediction.mask_embed, 'phrase')[0, best],
        stages.features.mask_features[0],
        tuple(case.images[0].shape[-2:]),
        case.sizes[0],
    )
    case.check('grounding_mask', masks)
    assert ((masks > 0).numpy() != case.bits('grounding_binary_bits')).mean() <= 1e-3
