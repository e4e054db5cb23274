"""Post-processing as functions of tensors; no module, no state, no vocabulary."""

from .instance import instances, mask_areas, mask_boxes, mask_scores
from .panoptic import panoptic_segments
from .resize import mask_logits, resize_logits
from .semantic import SCORE_BYTES, MaskFn, label_scores, semantic_labels, semantic_scores
from .uncertainty import entropy, grid_of, name_shares, uncertainty

__all__ = [
    'MaskFn',
    'SCORE_BYTES',
    'entropy',
    'grid_of',
    'instances',
    'label_scores',
    'mask_areas',
    'mask_boxes',
    'mask_logits',
    'mask_scores',
    'name_shares',
    'panoptic_segments',
    'resize_logits',
    'semantic_labels',
    'semantic_scores',
    'uncertainty',
]
