# Referring expressions on your own images.
_base_ = './_base_/own_data.py'
test_dataloader = dict(
    dataset=dict(
        type='RefCocoDataset',
        ann_file='referring.json',
        data_prefix=dict(img='images/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='refseg'),
            dict(type='ChoosePhrases', test_mode=True, sentences='all'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('refseg',)),
        ],
    )
)
test_evaluator = [
    dict(type='ReferringIoU'),
]
benchmark = dict(
    title='own referring expressions',
    split='all',
    headline=('referring/cIoU', 'referring/mIoU', 'referring/P@0.5'),
    layout='referring.json (COCO annotations with sentences, see docs/own_data.md), images/',
)
