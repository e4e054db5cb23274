_base_ = [
    '../_base_/models/focal-l.py',
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
