"""Full-size models on photographs against outputs recorded from the official model.

The pictures belong to third parties, so this second, larger set of references lies outside the repository and the
tests are skipped without it. ``test_golden.py`` covers every stage with data of the project's own.
"""

import numpy as np
import pytest
import torch
from parity.cases import Case
from parity.model import full_size_model, phrase_groups, run_stages
from parity.weights import filler_state, official_keys

from xdet.models import postprocess
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.similarity import cosine_logits
from xdet.structures import Vocabulary

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


@pytest.fixture(scope='module')
def model(focal_t_state):
    return full_size_model('focal-t', focal_t_state('filler'))


def check_encoder(case, stages):
    case.assert_close('input', stages.inputs)
    for index, level in enumerate(stages.features.backbone):
        case.assert_close(f'res{index + 2}', level)
    case.assert_close('mask_features', stages.features.mask_features)
    for index, level in enumerate(stages.features.memory):
        case.assert_close(f'multi_scale_{index}', level)


def embed(model, text):
    """Text embeddings of a recorded vocabulary; its random prompts were recorded with it."""
    if text['prompts']:
        return model.vocabulary.encode(text['prompts'])
    names = tuple(text['names'][:-1])
    return model.vocabulary(Vocabulary(names, (True,) * len(names)))


@torch.no_grad()
@pytest.mark.parametrize('name', SEGMENTATION)
def test_segmentation(model, name):
    check_segmentation(model, Case(name))


@torch.no_grad()
@SLOW
def test_segmentation_with_davit_d3():
    case = Case('davitd3_tiny')
    check_segmentation(full_size_model('davit-d3', filler_state(official_keys('davit-d3'))), case)


def check_segmentation(model, case):
    images = [torch.from_numpy(image) for image in case.inputs()]
    stages = run_stages(model, images)
    check_encoder(case, stages)
    text = embed(model, case.json['text'][0])
    case.assert_close('text_emb', text)
    scale = model.text_encoder.logit_scale
    logits = cosine_logits(stages.class_embed(-1), text, scale)
    case.assert_close('pred_logits', logits)
    case.assert_close('pred_masks', stages.masks(-1))
    case.assert_close('pred_captions', stages.class_embed(-1))
    if 'aux_logits' in case.tensors:
        aux = [cosine_logits(stages.class_embed(layer), text, scale) for layer in range(9)]
        case.assert_close('aux_logits', torch.stack(aux))
        case.assert_close('aux_captions', torch.stack([stages.class_embed(layer) for layer in range(9)]))
        case.assert_close('aux_masks_0_4_8', torch.stack([stages.masks(layer) for layer in (0, 4, 8)]))
    for index, image in enumerate(images):
        check_results(case, stages, logits[index], index, tuple(image.shape[-2:]))


def check_results(case, stages, logits, index, img_shape):
    size = case.sizes()[index]
    masks = postprocess.mask_logits(
        stages.outputs.last.mask_embed[index],
        stages.features.mask_features[index],
        img_shape,
        size,
    )
    is_thing = [label in case.spec['things'] for label in range(logits.shape[1] - 1)]
    prefix = f'img{index}_'
    case.assert_close(prefix + 'masks_up', masks)

    def select(queries):
        return masks[queries]

    if prefix + 'sem_seg' in case.tensors:
        case.assert_close(prefix + 'sem_seg', postprocess.semantic_scores(logits, select, size))
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
        assert (np.abs(found.scores.numpy()[ours] - scores[theirs]) < 1e-3).all()


@torch.no_grad()
@pytest.mark.parametrize('name', REFERRING)
def test_phrase_groups(model, name):
    """Referring segmentation through the same decoder; pins the official index of the unmasked query, too."""
    case = Case(name)
    groups, pooled = phrase_groups(model, case.json['phrases'])
    case.assert_close('grounding_tokens', groups[1].content[0])
    case.assert_close('phrase_emb', pooled)
    images = [torch.from_numpy(image) for image in case.inputs()]
    stages = run_stages(model, images, groups)
    check_encoder(case, stages)
    every = (OBJECT, IMAGE, 'phrase')
    case.assert_close('pred_masks', stages.masks(-1, *every))
    case.assert_close('pred_captions', stages.class_embed(-1, *every))
    unit = pooled / pooled.norm(dim=-1, keepdim=True)
    similarity = cosine_logits(stages.class_embed(-1, 'phrase')[0], unit, model.text_encoder.logit_scale)
    case.assert_close('similarity', similarity)
    best = similarity.argmax(dim=0)
    assert best.tolist() == case.arrays['matched_id'].tolist()
    prediction = stages.outputs.last
    masks = postprocess.mask_logits(
        prediction.rows(prediction.mask_embed, 'phrase')[0, best],
        stages.features.mask_features[0],
        tuple(images[0].shape[-2:]),
        case.sizes()[0],
    )
    case.assert_close('grounding_mask', masks)
    assert ((masks > 0).numpy() != case.bits('grounding_binary_bits')).mean() <= 1e-3
