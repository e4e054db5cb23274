# The tiny model with all tasks on images in the layout of photographs; data_root is given by who uses it.
_base_ = './language_run.py'

size = 64
data_root = 'data/'
resize = dict(type='ResizeShortestEdge', scale=size, max_size=2 * size)
train_dataloader = dict(
    _delete_=True,
    segments=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='ResumableSampler'),
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='CocoPanopticSegDataset',
                data_root=data_root,
                ann_file='voc_animals/panoptic_train.json',
                data_prefix=dict(img='voc_animals/images/train/', seg='voc_animals/panoptic/train/'),
                pipeline=[
                    dict(type='LoadXDetImage'),
                    dict(type='LoadSegments'),
                    dict(type='LargeScaleJitter', size=(size, size), scale_range=(0.9, 1.8)),
                    dict(type='DescribeSegments'),
                    dict(type='PackXDetInputs'),
                ],
            ),
        ),
    ),
)
val_dataloader = dict(
    _delete_=True,
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoPanopticSegDataset',
        data_root=data_root,
        ann_file='voc_animals/panoptic_val.json',
        data_prefix=dict(img='voc_animals/images/val/', seg='voc_animals/panoptic/val/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            resize,
            dict(type='LoadSegments'),
            dict(type='DescribeSegments', test_mode=True),
            dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic', 'semantic', 'refseg', 'caption', 'vqa')),
        ],
        test_mode=True,
    ),
)
scenes_test_pipeline = [
    dict(type='RenderScene', size=64),
    dict(type='DescribeScene', test_mode=True, num_captions=1),
    dict(
        type='PackXDetInputs',
        test_mode=True,
        tasks=('panoptic', 'refseg', 'caption', 'refcaption', 'retrieval', 'vqa'),
    ),
]
test_sets = dict(again=dict(dataset=val_dataloader['dataset'], metrics=[dict(type='PanopticQuality')]))
