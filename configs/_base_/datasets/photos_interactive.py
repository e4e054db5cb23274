# Objects to click on: the segments of photographs and of generated scenes (docs/interactive.md).
_base_ = './photos_joint.py'

size = 256
fixed = dict(type='mmdet.Resize', scale=(size, size), keep_ratio=False, backend='pillow', interpolation='bilinear')
photos_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(size, size), scale_range=(0.7, 1.3), shared_offset=False),
    dict(type='PackXDetInputs', tasks=('interactive',)),
]
drawn_pipeline = [
    dict(type='RenderScene', size=128),
    fixed,
    dict(type='PackXDetInputs', tasks=('interactive',)),
]
train_dataloader = dict(
    segments=dict(batch_size=6, num_workers=1, dataset=dict(dataset=dict(pipeline=photos_pipeline))),
    pairs=None,
    scenes=dict(batch_size=2, num_workers=1, dataset=dict(dataset=dict(pipeline=drawn_pipeline))),
)
