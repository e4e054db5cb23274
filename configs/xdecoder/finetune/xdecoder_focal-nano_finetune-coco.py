# The small model on your own panoptic data in COCO's layout, on a CPU: the tutorial of docs/finetune.md.
_base_ = [
    '../../_base_/models/focal-nano.py',
    '../../_base_/datasets/my_coco_tiny.py',
    '../../_base_/schedules/finetune_tiny_cpu.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        _delete_=True,
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss', num_points=512),
            object_mask_threshold=0.5,
        ),
    ),
)
max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=max_iters))
