# Instances of your own images in COCO's layout.
_base_ = './_base_/own_data.py'
test_dataloader = dict(
    dataset=dict(
        type='CocoInstanceSegDataset',
        ann_file='annotations/instances_{split}.json',
        data_prefix=dict(img='{split}/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='instance'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('instance',)),
        ],
    )
)
test_evaluator = [
    dict(type='InstanceAP', ann_file=_base_.data_root + 'annotations/instances_{split}.json'),
]
benchmark = dict(
    title='own instance data',
    split='val',
    headline=('instance/AP', 'instance/AP50', 'instance/box_AP'),
    layout='annotations/instances_{split}.json, {split}/*.jpg',
)
