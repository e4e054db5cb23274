# Segmentation part of the official recipe with DaViT-d3, from random weights unless `load_from` names some.
_base_ = [
    '../_base_/models/davit-d3.py',
    '../_base_/datasets/coco_panoptic.py',
    '../_base_/schedules/xdecoder_50e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(with_cp=True),
    decoder=dict(with_cp=True),
    tasks=dict(
        _delete_=True,
        segmentation=dict(type='SegmentationTask', loss=dict(type='SegmentationLoss')),
    ),
)
