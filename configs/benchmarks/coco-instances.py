# Instances of your own pictures in COCO's layout.
data_root = 'data/my_data/'
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoInstanceSegDataset',
        data_root=data_root,
        ann_file='annotations/instances_{split}.json',
        data_prefix=dict(img='{split}/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='instance'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('instance',)),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = [
    dict(type='InstanceAP', ann_file=data_root + 'annotations/instances_{split}.json'),
]
benchmark = dict(
    title='own instance data',
    split='val',
    own_data=True,
    headline=('instance/AP', 'instance/AP50', 'instance/box_AP'),
    layout='annotations/instances_{split}.json, {split}/*.jpg',
    notes=[],
)
protocols = dict(
    official=dict(why='nothing was published for your data; as recommended'),
    recommended=dict(why="pictures have the size that the model's config gives them for inference"),
)
