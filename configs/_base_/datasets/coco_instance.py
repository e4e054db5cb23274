# COCO instances (80 things, masks may overlap) in its standard layout.
_base_ = './coco_panoptic.py'
dataset_type = 'CocoInstanceSegDataset'
data_root = 'data/coco/'

test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=800, max_size=1333),
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('instance',)),
]

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type=dataset_type,
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(_delete_=True, img='train2017/'),
            filter_cfg=dict(filter_empty_gt=True),
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(_delete_=True, img='val2017/'),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='InstanceAP', ann_file=data_root + 'annotations/instances_val2017.json')]
test_evaluator = val_evaluator
