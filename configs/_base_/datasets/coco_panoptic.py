# COCO panoptic in its standard layout, with the official augmentation and test size.
dataset_type = 'CocoPanopticSegDataset'
data_root = 'data/coco/'

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(1024, 1024), scale_range=(0.1, 2.0)),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=800, max_size=1333),
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('semantic', 'panoptic')),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            ann_file='annotations/panoptic_train2017.json',
            data_prefix=dict(img='train2017/', seg='panoptic_train2017/'),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017/', seg='panoptic_val2017/'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='PanopticQuality'), dict(type='SemanticIoU')]
test_evaluator = val_evaluator
