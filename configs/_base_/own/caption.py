# Your own captions: lists of images and texts; captioning and retrieval, made for a CPU (docs/finetune.md).
# A config of yours inherits from this one and sets those of the following values that differ.
_base_ = ['../models/lite0-nano.py', './runtime.py']

data_root = 'data/my_data'
train_file = 'train.jsonl'  # COCO captions, or a list as JSON, JSONL, CSV, TSV or Parquet
val_file = 'val.jsonl'
images = 'images/'
size = 160
batch_size = 4
max_iters = 300
interval = 100  # of validations and checkpoints

find_unused_parameters = True  # what makes masks has no part in the loss
model = dict(
    tasks=dict(
        _delete_=True,
        captioning=dict(
            type='CaptioningTask', embed_dims=128, text_width=64, loss=dict(type='CaptionLoss', num_layers=1)
        ),
        retrieval=dict(
            type='RetrievalTask',
            backbone_channels=320,
            embed_dims=128,
            decoder_weight=0.5,
            loss=dict(type='RetrievalLoss', num_layers=1),
        ),
    ),
)
resize = dict(
    type='mmdet.Resize', scale=('${size}', '${size}'), keep_ratio=False, backend='pillow', interpolation='bilinear'
)
train_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='ChooseCaption', with_nouns=False),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='PackXDetInputs', test_mode=True, tasks=('caption', 'retrieval')),
]
inference_pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True)]
dataset = dict(type='ImageTextDataset', data_root='${data_root}', data_prefix=dict(img='${images}'))
train_dataloader = dict(
    batch_size='${batch_size}',
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(type='SeededDataset', dataset=dict(ann_file='${train_file}', pipeline=train_pipeline, **dataset)),
)
val_dataloader = dict(
    batch_size='${batch_size}',
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='${val_file}', pipeline=test_pipeline, test_mode=True, **dataset),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='CaptionMatch'), dict(type='RetrievalRecall')]
test_evaluator = val_evaluator

train_cfg = dict(max_iters='${max_iters}', val_interval='${interval}')
auto_scale_lr = dict(base_batch_size='${batch_size}')
