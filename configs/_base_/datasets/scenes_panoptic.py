# The generated world (docs/scenes.md): drawn on the fly, no files needed. A scene takes about 3 ms of one core.
size = 128

train_pipeline = [
    dict(type='RenderScene', size=size),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='RenderScene', size=size),
    dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic',)),
]
# What the inferencer does with an image from a file.
inference_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=size, max_size=4 * size),
    dict(type='PackXDetInputs', test_mode=True),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(type='ScenesDataset', split='train', num_scenes=100000, pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ScenesDataset', split='val', num_scenes=200, pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='PanopticQuality')]
test_evaluator = val_evaluator
