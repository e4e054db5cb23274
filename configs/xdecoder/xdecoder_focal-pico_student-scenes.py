# A student of the embedded model `scenes`: segmentation only, a tenth of its weights, made for one CPU core.
#   OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-pico_student-scenes
# What it reaches, and how small it is exported: docs/export.md.
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/scenes_panoptic.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]

# The table of tokens is half of a small model: 49,408 rows, here of 24 numbers.
model = dict(
    backbone=dict(embed_dims=16, depths=(1, 1, 2, 1)),
    pixel_decoder=dict(in_channels=(16, 32, 64, 128), feat_channels=64, num_layers=1, feedforward_channels=256),
    text_encoder=dict(width=24, num_heads=2, num_layers=3, embed_dims=64),
    decoder=dict(num_queries=26, embed_dims=64, num_layers=4, feedforward_channels=256),
    tasks=dict(
        _delete_=True,
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss', num_points=512),
            object_mask_threshold=0.5,
        ),
        distillation=dict(
            type='DistillationTask',
            teacher='scenes',
            loss=dict(type='DistillationLoss', num_points=512),
            name_loss=dict(type='RelationalDistillationLoss', weight=20.0, rank_weight=0.5),
        ),
    ),
)

train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(base_batch_size=4)
train_cfg = dict(max_iters=3000, val_interval=3000)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
