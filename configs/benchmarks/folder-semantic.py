# Semantic segmentation of your own pictures: two folders with equal file names, and the class names.
data_root = 'data/my_data/'
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageLabelFolderDataset',
        data_root=data_root,
        classes='classes.json',
        data_prefix=dict(img='images/{split}/', seg='labels/{split}/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='semantic'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = [
    dict(type='SemanticIoU'),
]
benchmark = dict(
    title='own semantic data',
    split='val',
    own_data=True,
    headline=('semantic/mIoU', 'semantic/aAcc'),
    layout='images/{split}/NAME.jpg, labels/{split}/NAME.png (8 or 16-bit class index, 255 = unlabelled), classes.json',
    notes=[],
)
protocols = dict(
    official=dict(why='nothing was published for your data; as recommended'),
    recommended=dict(why="pictures have the size that the model's config gives them for inference"),
)
