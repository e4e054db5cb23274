# Referring expressions on your own pictures.
data_root = 'data/my_data/'
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='RefCocoDataset',
        data_root=data_root,
        ann_file='referring.json',
        data_prefix=dict(img='images/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='refseg'),
            dict(type='ChoosePhrases', test_mode=True, sentences='all'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('refseg',)),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = [
    dict(type='ReferringIoU'),
]
benchmark = dict(
    title='own referring expressions',
    split='all',
    own_data=True,
    headline=('referring/cIoU', 'referring/mIoU', 'referring/P@0.5'),
    layout='referring.json (COCO annotations with sentences), images/',
    notes=[],
)
protocols = dict(
    official=dict(why='nothing was published for your data; as recommended'),
    recommended=dict(why="pictures have the size that the model's config gives them for inference"),
)
