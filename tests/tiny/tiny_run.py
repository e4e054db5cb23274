# A complete run that takes seconds on a CPU: a model of 60 thousand parameters beside its token table, six pictures.
_base_ = ['../../configs/_base_/models/focal-nano.py', '../../configs/_base_/default_runtime.py']

model = dict(
    backbone=dict(embed_dims=8, depths=(1, 1, 1, 1), focal_levels=(1, 1, 1, 1)),
    pixel_decoder=dict(
        in_channels=(8, 16, 32, 64), feat_channels=32, num_layers=1, num_heads=2, feedforward_channels=32
    ),
    text_encoder=dict(width=8, num_heads=2, num_layers=1, embed_dims=32),
    decoder=dict(num_queries=9, embed_dims=32, num_heads=2, num_layers=2, feedforward_channels=32),
    tasks=dict(
        _delete_=True,
        segmentation=dict(type='SegmentationTask', loss=dict(type='SegmentationLoss')),
    ),
)

data_root = 'data/'
pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('semantic', 'panoptic')),
]
dataset = dict(
    type='ImageLabelFolderDataset',
    data_root=data_root,
    classes='classes.txt',
    data_prefix=dict(img='images/', seg='labels/'),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(type='SeededDataset', dataset=dict(pipeline=pipeline, **dataset)),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline, test_mode=True, **dataset),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='SemanticIoU')
test_evaluator = val_evaluator

max_iters = 6
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='XDecoderOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = dict(type='LinearLR', by_epoch=False, begin=0, end=max_iters, start_factor=0.1)
auto_scale_lr = dict(enable=False, base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=3), logger=dict(interval=1))
