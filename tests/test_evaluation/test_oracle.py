"""Oracle prompts: every image is given its own classes, values are those of the whole class list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.benchmarks import score_ground_truth

from xdet.datasets.transforms import OracleVocabulary
from xdet.evaluation import OracleSemanticIoU, SemanticIoU
from xdet.structures import Vocabulary

WHOLE = Vocabulary(('wall', 'bag', 'bag', 'sky'), (False, True, True, False), (('wall', 'walls'), ('bag',)) * 2)


def test_vocabulary_is_reduced() -> None:
    transform = OracleVocabulary()
    results = transform(dict(vocabulary=WHOLE, segments_info=[dict(label=3), dict(label=2), dict(label=3)]))
    assert results['vocabulary_labels'] == (2, 3)
    assert results['vocabulary'] == Vocabulary(('bag', 'sky'), (True, False), (('wall', 'walls'), ('bag',)))
    void = transform(dict(vocabulary=WHOLE, segments_info=[]))
    assert void['vocabulary'] == WHOLE and void['vocabulary_labels'] == (0, 1, 2, 3)
    with pytest.raises(ValueError, match='a.jpg: no ground truth.*LoadSegments'):
        transform(dict(vocabulary=WHOLE, img_path='a.jpg'))


def test_predictions_are_mapped_to_the_whole_vocabulary() -> None:
    gt = torch.tensor([[[2, 2, 3, -1], [3, 3, 3, -1]]])
    reduced = torch.tensor([[[0, 1, 1, 0], [1, 1, 0, 0]]], dtype=torch.uint8)
    metrics = [OracleSemanticIoU(), SemanticIoU()]
    for metric, pred in zip(metrics, (reduced, reduced.long() + 2), strict=True):
        metric.dataset_meta = dict(vocabulary=WHOLE, classes=WHOLE.names)
        sample = dict(gt_sem_seg=dict(sem_seg=gt), pred_sem_seg=dict(sem_seg=pred), vocabulary_labels=(2, 3))
        metric.process(None, [sample])
    oracle, plain = (metric.evaluate(1) for metric in metrics)
    assert oracle == plain and oracle['semantic/mIoU'] == pytest.approx(100 * (1 / 3 + 3 / 5) / 2)
    del sample['vocabulary_labels']
    with pytest.raises(ValueError, match='has no vocabulary_labels; the test pipeline needs OracleVocabulary'):
        metrics[0].process(None, [sample])


@pytest.mark.parametrize(
    ('name', 'folders', 'file_type', 'labels'),
    [
        ('ade20k-150-oracle', ('images/validation', 'annotations/validation'), 'png', np.uint8([[0, 1, 150, 150]])),
        (
            'ade20k-847-oracle',
            ('images_detectron2/validation', 'annotations_detectron2/validation'),
            'tif',
            np.uint16([[65535, 0, 846, 300]]),
        ),
    ],
)
def test_ground_truth_scores_100(
    tmp_path: Path, name: str, folders: tuple[str, str], file_type: str, labels: np.ndarray
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    Image.new('RGB', (4, 1)).save(tmp_path / folders[0] / 'ADE_val_00000001.jpg')
    Image.fromarray(labels).save(tmp_path / folders[1] / f'ADE_val_00000001.{file_type}')
    for protocol in ('official', 'recommended'):
        assert score_ground_truth(name, tmp_path, protocol)['semantic/mIoU'] == 100
        assert score_ground_truth(name, tmp_path, protocol, shift=1)['semantic/mIoU'] == 0
