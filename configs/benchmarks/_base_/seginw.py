# One data set of Segmentation in the Wild: data/seginw/SET/valid/*.jpg and _annotations_min1cat.coco.json, as published
# for the benchmark (python tools/dataset_converters/seginw.py data/seginw checks them, or makes the JSON).
data_root = 'data/seginw/'

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoInstanceSegDataset',
        data_root=data_root,
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=512, rule='torchvision'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('instance',)),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = dict(type='InstanceAP', metric='segm')
benchmark = dict(
    split='valid',
    family='seginw',
    headline=('instance/AP',),
    reference='X-Decoder, branch seginw',
    layout='SET/valid/*.jpg, SET/valid/_annotations_min1cat.coco.json',
    notes=(
        'Class names are given to the text encoder as the files spell them, such as R_strawberry or caorau.',
        'The published values are mean and median of AP over the 25 sets.',
    ),
)
protocols = dict(
    official=dict(
        why='Shortest edge 512, bicubic, longest edge not limited; the published numbers use half precision.'
    ),
    recommended=dict(
        {
            'test_dataloader.dataset.pipeline.1': dict(rule='detectron2', max_size=2048, interpolation='bicubic'),
        },
        why='The same, but the longest edge is limited: some photographs of these sets are panoramas.',
    ),
)
