# Your own panoptic data in COCO's layout, in small pictures for small models on CPUs.
dataset_type = 'CocoPanopticSegDataset'
data_root = 'data/my_data/'

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(128, 128), scale_range=(0.8, 1.25)),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=128, max_size=512),
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic',)),
]
inference_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=128, max_size=512),
    dict(type='PackXDetInputs', test_mode=True),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            ann_file='annotations/panoptic_train.json',
            data_prefix=dict(img='train/', seg='annotations/panoptic_train/'),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/panoptic_val.json',
        data_prefix=dict(img='val/', seg='annotations/panoptic_val/'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='PanopticQuality')]
test_evaluator = val_evaluator
