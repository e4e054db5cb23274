# Image-text pairs from a list (COCO captions, Karpathy's file, JSON, JSONL, CSV, TSV or Parquet), for captioning and
# retrieval, at the official 224x224 pixels.
dataset_type = 'ImageTextDataset'
data_root = 'data/coco/'
data_prefix = dict(img='')
ann_file = 'annotations/dataset_coco.json'  # Karpathy's splits; its images are train2014/... and val2014/...

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='mmdet.Resize', scale=(224, 224), keep_ratio=False, backend='pillow', interpolation='bilinear'),
    dict(type='ChooseCaption', with_nouns=False),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='mmdet.Resize', scale=(224, 224), keep_ratio=False, backend='pillow', interpolation='bilinear'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('caption', 'retrieval')),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            ann_file=ann_file,
            data_prefix=data_prefix,
            splits=['train', 'restval'],
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=data_prefix,
        splits=['val'],
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=data_prefix,
        splits=['test'],
        pipeline=test_pipeline,
        test_mode=True,
    ),
)

val_evaluator = [dict(type='CaptionMatch'), dict(type='RetrievalRecall')]
test_evaluator = val_evaluator
