# Panoptic segmentation of your own pictures in COCO's layout.
data_root = 'data/my_data/'
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoPanopticSegDataset',
        data_root=data_root,
        ann_file='annotations/panoptic_{split}.json',
        data_prefix=dict(img='{split}/', seg='panoptic_{split}/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='panoptic'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic', 'panoptic')),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = [
    dict(type='PanopticQuality'),
    dict(type='SemanticIoU'),
]
benchmark = dict(
    title='own panoptic data',
    split='val',
    own_data=True,
    headline=('panoptic/PQ', 'panoptic/PQ_th', 'panoptic/PQ_st', 'semantic/mIoU'),
    layout='annotations/panoptic_{split}.json, {split}/*.jpg, panoptic_{split}/*.png',
    notes=[],
)
protocols = dict(
    official=dict(why='nothing was published for your data; as recommended'),
    recommended=dict(why="pictures have the size that the model's config gives them for inference"),
)
