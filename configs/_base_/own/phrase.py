# Your own referring expressions: COCO JSON files whose annotations have sentences; made for a CPU (docs/finetune.md).
# A config of yours inherits from this one and sets those of the following values that differ.
_base_ = ['../models/lite0-nano.py', './runtime.py']

data_root = 'data/my_data'
train_file = 'train.json'
val_file = 'val.json'
images = 'images/'
size = 256
batch_size = 2
max_iters = 300
interval = 100  # of validations and checkpoints

model = dict(
    tasks=dict(
        _delete_=True,
        referring=dict(
            type='ReferringTask', mode='independent', loss=dict(type='GroundingLoss', num_points=1024, num_layers=3)
        ),
    ),
)
resize = dict(type='ResizeShortestEdge', scale='${size}', max_size=640)
train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ChoosePhrases', max_phrases=4),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=('${size}', '${size}'), scale_range=(0.8, 1.2)),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='ChoosePhrases', test_mode=True, sentences='all'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('refseg',)),
]
inference_pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True)]
dataset = dict(type='RefCocoDataset', data_root='${data_root}', data_prefix=dict(img='${images}'))
train_dataloader = dict(
    batch_size='${batch_size}',
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(type='SeededDataset', dataset=dict(ann_file='${train_file}', pipeline=train_pipeline, **dataset)),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='${val_file}', pipeline=test_pipeline, test_mode=True, **dataset),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='ReferringIoU')]
test_evaluator = val_evaluator

train_cfg = dict(max_iters='${max_iters}', val_interval='${interval}')
auto_scale_lr = dict(base_batch_size='${batch_size}')
