# The data sets of Segmentation in the Wild, each a benchmark: data/seginw/SET/valid/*.jpg and
# _annotations_min1cat.coco.json, as published for the benchmark
# (python tools/dataset_converters/seginw.py data/seginw checks them, or makes the JSON).
_base_ = './_base_/testing.py'
data_root = 'data/seginw/'

test_dataloader = dict(
    dataset=dict(
        type='CocoInstanceSegDataset',
        data_root=data_root,
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=512, rule='torchvision'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('instance',)),
        ],
    )
)
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
annotations = '{}/valid/_annotations_min1cat.coco.json'
variants = {
    f'seginw-{name.lower()}': dict(
        test_dataloader=dict(dataset=dict(ann_file=annotations.format(name), data_prefix=dict(img=f'{name}/valid/'))),
        test_evaluator=dict(ann_file=data_root + annotations.format(name)),
        benchmark=dict(title=f'SegInW {name}'),
    )
    for name in (
        'Airplane-Parts',
        'Bottles',
        'Brain-Tumor',
        'Chicken',
        'Cows',
        'Electric-Shaver',
        'Elephants',
        'Fruits',
        'Garbage',
        'Ginger-Garlic',
        'Hand-Metal',
        'Hand',
        'House-Parts',
        'HouseHold-Items',
        'Nutterfly-Squireel',
        'Phones',
        'Poles',
        'Puppies',
        'Rail',
        'Salmon-Fillet',
        'Strawberry',
        'Tablets',
        'Toolkits',
        'Trash',
        'Watermelon',
    )
}
