# Can the model learn a few real images by heart? The first 8 of train2017, no augmentation, tested on the same 8:
#   python tools/train.py configs/xdecoder/xdecoder_focal-nano_overfit-8_coco-panoptic.py
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/coco_panoptic_first-8.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    tasks=dict(
        _delete_=True,
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss', num_points=2048),
            object_mask_threshold=0.4,
            overlap_threshold=0.5,
        ),
    )
)

train_cfg = dict(max_iters=1300, val_interval=325)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=50, start_factor=0.02),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=1.0, eta_min=1e-5),
]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=325))
auto_scale_lr = dict(base_batch_size=2)
