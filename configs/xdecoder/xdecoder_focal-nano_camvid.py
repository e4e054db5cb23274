# focal-nano from scratch on CamVid's 367 training frames, about an hour on one CPU core:
#   OMP_NUM_THREADS=1 python tools/train.py configs/xdecoder/xdecoder_focal-nano_camvid.py
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        _delete_=True,
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss', num_points=2048),
            default_tasks=('semantic',),
        ),
    ),
)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)

max_iters = 3600
train_cfg = dict(max_iters=max_iters, val_interval=1200)
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=100, start_factor=0.02),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min=1e-5),
]
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=250))
