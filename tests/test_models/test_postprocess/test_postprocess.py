"""Post-processing against hand-made tables and a literal, slow transcription of the official procedure."""

import pytest
import torch
import torch.nn.functional as F

from xdet.models import postprocess


def square(size, top, left, height, width, inside=8.0):
    logits = torch.full(size, -8.0)
    logits[top : top + height, left : left + width] = inside
    return logits


def class_logits(labels, num_classes, confidence=12.0):
    logits = torch.zeros(len(labels), num_classes + 1)
    for row, label in enumerate(labels):
        logits[row, label] = confidence
    return logits


def select(logits):
    return lambda queries: logits[queries]


SIZE = (8, 10)


def test_panoptic_things_are_separate_and_stuff_is_merged():
    masks = torch.stack(
        [
            square(SIZE, 0, 0, 4, 4),
            square(SIZE, 0, 6, 4, 4),
            square(SIZE, 5, 0, 3, 5),
            square(SIZE, 5, 5, 3, 5),
            square(SIZE, 0, 4, 2, 2),
        ]
    )
    logits = class_logits([0, 0, 1, 1, 2], 2)  # thing, thing, stuff, stuff, no object
    segments, infos = postprocess.panoptic_segments(logits, select(masks), SIZE, (True, False))
    assert [(info['id'], info['label'], info['is_thing']) for info in infos] == [
        (1, 0, True),
        (2, 0, True),
        (3, 1, False),
    ]
    assert segments[0, 0] == 1 and segments[0, 9] == 2 and (segments[5:] == 3).all()
    assert (segments[:4, 4:6] == 0).all() and (segments[4] == 0).all()


def test_panoptic_drops_what_is_mostly_covered():
    covered = square(SIZE, 0, 0, 4, 4)
    cover = square(SIZE, 0, 0, 4, 3, inside=9.0)
    logits = class_logits([0, 0], 1)
    logits[1, 0] += 5
    masks = torch.stack([covered, cover])
    _, infos = postprocess.panoptic_segments(logits, select(masks), SIZE, (True,))
    assert len(infos) == 1
    _, infos = postprocess.panoptic_segments(logits, select(masks), SIZE, (True,), overlap_threshold=0.2)
    assert len(infos) == 2


def test_panoptic_makes_only_confident_masks():
    asked = []

    def masks(queries):
        asked.append(queries.tolist())
        return torch.stack([square(SIZE, 0, 0, 4, 4)] * len(queries))

    logits = class_logits([0, 1, 0], 1)  # label 1 is no-object
    logits[2, 0] = 0.5
    postprocess.panoptic_segments(logits, masks, SIZE, (True,))
    assert asked == [[0]]
    segments, infos = postprocess.panoptic_segments(class_logits([1], 1), masks, SIZE, (True,))
    assert infos == [] and not segments.any() and asked == [[0]]


def literal_panoptic(logits, masks, is_thing, threshold, overlap):
    """The official procedure, step by step."""
    scores, labels = logits.softmax(-1).max(-1)
    keep = (labels != logits.shape[1] - 1) & (scores > threshold)
    scores, labels, probabilities = scores[keep], labels[keep], masks[keep].sigmoid()
    result = torch.zeros(masks.shape[-2:], dtype=torch.int32)
    infos, stuff, current = [], {}, 0
    if not len(scores):
        return result, infos
    owner = (scores.view(-1, 1, 1) * probabilities).argmax(0)
    for k in range(len(scores)):
        label = labels[k].item()
        owned, own = (owner == k).sum().item(), (probabilities[k] >= 0.5).sum().item()
        mask = (owner == k) & (probabilities[k] >= 0.5)
        if owned > 0 and own > 0 and mask.sum().item() > 0:
            if owned / own < overlap:
                continue
            if not is_thing[label]:
                if label in stuff:
                    result[mask] = stuff[label]
                    continue
                stuff[label] = current + 1
            current += 1
            result[mask] = current
            infos.append((current, label, is_thing[label]))
    return result, infos


@pytest.mark.parametrize('masks_per_chunk', [3, 1000])
@pytest.mark.parametrize('seed', range(5))
def test_panoptic_equals_the_literal_procedure(seed, masks_per_chunk, monkeypatch):
    monkeypatch.setattr(postprocess.resize, 'CHUNK_BYTES', masks_per_chunk * 4 * 20 * 30)
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(30, 5, generator=generator)
    coarse = 6 * torch.randn(1, 30, 3, 4, generator=generator) - 2
    masks = F.interpolate(coarse, (20, 30), mode='bicubic')[0]
    is_thing = (True, False, True, False)
    segments, infos = postprocess.panoptic_segments(logits, select(masks), (20, 30), is_thing, 0.4, 0.3)
    expected, expected_infos = literal_panoptic(logits, masks, is_thing, 0.4, 0.3)
    assert len(expected_infos) > 2
    assert torch.equal(segments, expected)
    assert [(info['id'], info['label'], info['is_thing']) for info in infos] == expected_infos


def test_semantic_sums_over_queries_and_drops_no_object():
    masks = torch.stack([square(SIZE, 0, 0, 8, 5), square(SIZE, 0, 5, 8, 5), square(SIZE, 0, 0, 8, 10)])
    logits = class_logits([1, 0, 2], 2)
    labels = postprocess.semantic_labels(logits, select(masks), SIZE)
    assert (labels[:, :5] == 1).all() and (labels[:, 5:] == 0).all()
    scores = postprocess.semantic_scores(logits, select(masks), SIZE)
    expected = torch.einsum('qc,qhw->chw', logits.softmax(-1)[:, :-1], masks.sigmoid())
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize('score_bytes', [4000, 1500])
def test_semantic_in_pieces_gives_the_same_labels(monkeypatch, score_bytes):
    """Blocks of pixels where all masks fit into memory, blocks of classes where they do not."""
    generator = torch.Generator().manual_seed(0)
    logits, masks = torch.randn(7, 40, generator=generator), torch.randn(7, 9, 11, generator=generator)
    whole = postprocess.semantic_labels(logits, select(masks), (9, 11))
    monkeypatch.setattr('xdet.models.postprocess.semantic.SCORE_BYTES', score_bytes)
    monkeypatch.setattr('xdet.models.postprocess.resize.CHUNK_BYTES', 700)
    assert torch.equal(postprocess.semantic_labels(logits, select(masks), (9, 11)), whole)
    labels = postprocess.semantic_labels(logits, select(masks), (9, 11), 0.15)
    surest = (logits.softmax(-1)[:, :-1].amax(1)[:, None, None] * masks.sigmoid()).amax(0)
    assert 0 < (surest > 0.15).sum() < surest.numel()
    assert torch.equal(labels, torch.where(surest > 0.15, whole, -2))


def test_instances_have_scores_and_tight_boxes():
    masks = torch.stack([square(SIZE, 1, 2, 3, 4), square(SIZE, 6, 0, 2, 2)])
    logits = class_logits([0, 1], 2)
    found = postprocess.instances(logits, select(masks), SIZE, (True, True), max_per_image=2)
    first = found[found.labels == 0]
    assert first.bboxes.tolist() == [[2.0, 1.0, 6.0, 4.0]]
    assert first.masks.sum() == 12
    expected = logits[0].softmax(0)[0] * torch.tensor(8.0).sigmoid()
    torch.testing.assert_close(first.scores, expected[None], rtol=1e-5, atol=1e-6)
    assert (found.scores.diff() <= 0).all()


def test_instances_of_stuff_are_dropped_unless_wanted():
    masks = torch.stack([square(SIZE, 1, 2, 3, 4), square(SIZE, 6, 0, 2, 2)])
    logits = class_logits([0, 1], 2)
    kept = postprocess.instances(logits, select(masks), SIZE, (True, False), max_per_image=4)
    assert set(kept.labels.tolist()) == {0}
    every = postprocess.instances(logits, select(masks), SIZE, (True, False), max_per_image=4, things_only=False)
    assert set(every.labels.tolist()) == {0, 1}
    none = postprocess.instances(logits, select(masks), SIZE, (False, False))
    assert len(none) == 0 and none.masks.shape == (0, *SIZE) and none.bboxes.shape == (0, 4)


def test_empty_masks_have_zero_boxes_and_scores():
    masks = torch.full((1, *SIZE), -8.0)
    found = postprocess.instances(class_logits([0], 1), select(masks), SIZE, (True,))
    assert found.bboxes.tolist() == [[0.0] * 4] and found.scores.tolist() == [0.0]


def test_areas_and_masks_do_not_depend_on_the_layout():
    masks = torch.rand(3, 9, 7) > torch.tensor([0.0, 0.5, 1.0])[:, None, None]
    assert torch.equal(postprocess.mask_areas(masks), masks.flatten(1).sum(dim=1))
    assert postprocess.mask_areas(masks[:0]).tolist() == []
    embed, features = torch.randn(3, 8), torch.randn(1, 8, 5, 6)
    other = features.to(memory_format=torch.channels_last)[0]
    plain, found = (postprocess.mask_logits(embed, part, (20, 24), (31, 40)) for part in (features[0], other))
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


def test_mask_logits_take_the_official_two_steps():
    generator = torch.Generator().manual_seed(0)
    embed, maps = torch.randn(3, 5, generator=generator), torch.randn(5, 16, 24, generator=generator)
    logits = torch.einsum('qc,chw->qhw', embed, maps)[None]
    options = dict(mode='bicubic', align_corners=False, antialias=True)
    padded = F.interpolate(logits, (64, 96), **options)
    expected = F.interpolate(padded[:, :, :50, :90], (100, 70), **options)[0]
    found = postprocess.mask_logits(embed, maps, (50, 90), (100, 70))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('maps', 'image', 'original'),
    [
        ((200, 272), (800, 1067), (480, 640)),
        ((50, 50), (200, 200), (1, 1)),
        ((50, 32), (200, 113), (17, 9)),
        ((16, 24), (64, 90), (64, 200)),
        ((16, 24), (50, 96), (333, 96)),
        ((8, 8), (31, 29), (500, 700)),
    ],
)
def test_one_matrix_per_axis_equals_two_resizings(maps, image, original):
    generator = torch.Generator().manual_seed(0)
    embed, features = torch.randn(3, 4, generator=generator), torch.randn(4, *maps, generator=generator)
    options = dict(mode='bicubic', align_corners=False, antialias=True)
    logits = (embed.double() @ features.flatten(1).double()).unflatten(1, maps)[None]
    padded = F.interpolate(logits, (maps[0] * 4, maps[1] * 4), **options)[:, :, : image[0], : image[1]]
    expected = padded if image == original else F.interpolate(padded, original, **options)
    found = postprocess.mask_logits(embed, features, image, original)
    torch.testing.assert_close(found, expected[0].float(), rtol=1e-5, atol=2e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('original', [(1, 1), (17, 9), (480, 640), (800, 800)])
def test_sizes_that_the_kernel_of_cuda_refuses(original):
    embed, features = torch.randn(3, 8), torch.randn(8, 200, 200)
    expected = postprocess.mask_logits(embed, features, (800, 800), original)
    found = postprocess.mask_logits(embed.cuda(), features.cuda(), (800, 800), original).cpu()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
