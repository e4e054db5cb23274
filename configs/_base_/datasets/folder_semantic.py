# Your own data: images/<split>/NAME.jpg, labels/<split>/NAME.png (8 or 16-bit class index, 255 = unlabelled) and
# classes.json or classes.txt, the class names in index order.
dataset_type = 'ImageLabelFolderDataset'
data_root = 'data/my_data/'
classes = 'classes.json'

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomResize', scale=(1024, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75, ignore_index=0),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=512, max_size=2048),
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            classes=classes,
            data_prefix=dict(img='images/train/', seg='labels/train/'),
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
        classes=classes,
        data_prefix=dict(img='images/val/', seg='labels/val/'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='SemanticIoU', classwise=True)
test_evaluator = val_evaluator
