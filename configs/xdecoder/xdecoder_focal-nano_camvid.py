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
    tasks=dict(segmentation=dict(loss=dict(num_points=2048), default_tasks=('semantic',))),
)
train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomResize', scale=(480, 360), ratio_range=(0.5, 1.25), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(192, 256), cat_max_ratio=0.75, ignore_index=0),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='PackXDetInputs'),
]
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(dataset=dict(pipeline=train_pipeline))
)

max_iters = 3600
train_cfg = dict(max_iters=max_iters, val_interval=1200)
# The logit scale starts small (as released) and would need thousands of steps to grow at the common rate.
optim_wrapper = dict(
    optimizer=dict(lr=6e-4, betas=(0.9, 0.98)),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(lr_mults={'text_encoder.logit_scale': 10.0}),
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=100, start_factor=0.02),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, eta_min=1e-5),
]
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=250))
