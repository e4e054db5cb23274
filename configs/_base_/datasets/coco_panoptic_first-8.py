# The first 8 images of COCO's train2017, without augmentation and tested on themselves.
_base_ = './coco_panoptic.py'

# One size for all, so that the batches of training are padded no differently than single images in testing.
resize = dict(type='mmdet.Resize', scale=(384, 320), keep_ratio=False)
train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    resize,
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic',)),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(dataset=dict(indices=8, pipeline=train_pipeline)),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(
        indices=8,
        ann_file='annotations/panoptic_train2017.json',
        data_prefix=dict(img='train2017/', seg='panoptic_train2017/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='PanopticQuality')]
test_evaluator = val_evaluator
