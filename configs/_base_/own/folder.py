# Your own label images: two folders with equal file names and a list of class names; made for a CPU (docs/finetune.md).
# A config of yours inherits from this one and sets those of the following values that differ.
_base_ = ['../models/lite0-nano.py', './runtime.py']

data_root = 'data/my_data'
classes = 'classes.txt'  # a file, or the names themselves in label order
train_images = 'images/train/'
train_labels = 'labels/train/'
val_images = 'images/val/'
val_labels = 'labels/val/'
ignore_label = 255  # value of unlabelled pixels
label_offset = 0  # value of the first class
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
            default_tasks=('semantic',),
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
    dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
]
inference_pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True)]
dataset = dict(
    type='ImageLabelFolderDataset',
    data_root='${data_root}',
    classes='${classes}',
    ignore_label='${ignore_label}',
    label_offset='${label_offset}',
)
train_dataloader = dict(
    batch_size='${batch_size}',
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            data_prefix=dict(img='${train_images}', seg='${train_labels}'), pipeline=train_pipeline, **dataset
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(img='${val_images}', seg='${val_labels}'),
        pipeline=test_pipeline,
        test_mode=True,
        **dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='SemanticIoU', classwise=True)]
test_evaluator = val_evaluator

train_cfg = dict(max_iters='${max_iters}', val_interval='${interval}')
auto_scale_lr = dict(base_batch_size='${batch_size}')
