# Your own instances in one or two COCO JSON files, as annotation tools export them; made for a CPU (docs/finetune.md).
# A config of yours inherits from this one and sets those of the following values that differ.
_base_ = ['../models/lite0-nano.py', './runtime.py']

data_root = 'data/my_data'
train_file = 'train.json'
val_file = 'val.json'
images = 'images/'
train_images = '${images}'
val_images = '${images}'
classes = None  # in another order, or fewer, than the categories of the files
size = 256
batch_size = 2
max_iters = 300
interval = 100  # of validations and checkpoints

allow_unexpected = ('tasks.segmentation.pixel_names.*',)  # of the weights of the package; queries name things alone
model = dict(
    tasks=dict(
        _delete_=True,
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss', num_points=1024),
            default_tasks=('instance',),
            object_mask_threshold=0.5,
        ),
    ),
)
resize = dict(type='ResizeShortestEdge', scale='${size}', max_size=640)
train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='LargeScaleJitter', size=('${size}', '${size}'), scale_range=(0.8, 1.5)),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('instance',)),
]
inference_pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True)]
dataset = dict(type='CocoInstanceSegDataset', data_root='${data_root}', metainfo=dict(classes='${classes}'))
train_dataloader = dict(
    batch_size='${batch_size}',
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            ann_file='${train_file}',
            data_prefix=dict(img='${train_images}'),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=train_pipeline,
            **dataset,
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='${val_file}',
        data_prefix=dict(img='${val_images}'),
        pipeline=test_pipeline,
        test_mode=True,
        **dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='InstanceAP', ann_file='${data_root}/${val_file}')]
test_evaluator = val_evaluator

train_cfg = dict(max_iters='${max_iters}', val_interval='${interval}')
auto_scale_lr = dict(base_batch_size='${batch_size}')
