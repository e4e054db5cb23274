# Segmentation part of the official recipe (no image-text pairs): 8 GPUs, 4 images each. Also tests on COCO val2017.
_base_ = [
    '../_base_/models/focal-t.py',
    '../_base_/datasets/coco_panoptic.py',
    '../_base_/schedules/xdecoder_50e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    tasks=dict(
        _delete_=True,
        segmentation=dict(type='SegmentationTask', loss=dict(type='SegmentationLoss')),
    ),
)
