# Instance segmentation only: COCO's 80 things with their overlapping masks.
_base_ = [
    '../_base_/models/focal-t.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/xdecoder_50e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    tasks=dict(
        _delete_=True,
        segmentation=dict(type='SegmentationTask', loss=dict(type='SegmentationLoss'), default_tasks=('instance',)),
    )
)
