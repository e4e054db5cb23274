# Referring segmentation alone: RefCOCOg with the UMD split, in one file made by
# tools/dataset_converters/refer_to_json.py. RefCOCO and RefCOCO+ likewise, with the splits testA and testB.
dataset_type = 'RefCocoDataset'
data_root = 'data/coco/'
ann_file = 'annotations/refcocog_umd.json'
data_prefix = dict(img='train2017/')
img_name = '{id:012d}.jpg'  # COCO 2017; remove it for train2014/COCO_train2014_*.jpg

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ChoosePhrases', max_phrases=4),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(1024, 1024), scale_range=(0.5, 1.5)),
    dict(type='PackXDetInputs', segments=False),
]
# sentences='first' is the official protocol; 'all' that of the literature.
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=512, max_size=1024),
    dict(type='ChoosePhrases', test_mode=True, sentences='first'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('refseg',)),
]

train_dataloader = dict(
    batch_size=4,
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
            img_name=img_name,
            splits=['train'],
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=data_prefix,
        img_name=img_name,
        splits=['val'],
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='ReferringIoU')
test_evaluator = val_evaluator
