# focal-nano from scratch on the generated world, segmentation only, made for one CPU core.
#   OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-nano_scenes-panoptic
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/scenes_panoptic.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]

# A scene has at most 8 segments, and a mask of 32x32 logits needs few points.
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

train_cfg = dict(max_iters=4000, val_interval=500)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
