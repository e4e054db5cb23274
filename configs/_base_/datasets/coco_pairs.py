# The two sources of the paper's joint training: COCO with segments, captions and referring expressions (the official
# filtered files), and image-text pairs in WebDataset shards (img2dataset). Batch sizes are per GPU, for 32 of them.
data_root = 'data/coco/'
shards = 'data/pairs/{00000..01000}.tar'

coco_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='ChooseCaption'),
    dict(type='ChoosePhrases', max_phrases=4),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(1024, 1024), scale_range=(0.1, 2.0)),
    # The captions of these images serve the contrast of queries with nouns; captioning and retrieval learn from pairs.
    dict(type='PackXDetInputs', tasks=('panoptic', 'refseg')),
]
pairs_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ChooseCaption', with_nouns=False),
    dict(type='mmdet.Resize', scale=(224, 224), keep_ratio=False, backend='pillow', interpolation='bilinear'),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=800, max_size=1333),
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('semantic', 'panoptic')),
]

train_dataloader = dict(
    coco=dict(
        batch_size=1,
        num_workers=2,
        persistent_workers=True,
        sampler=dict(type='ResumableSampler'),
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='CocoJointDataset',
                data_root=data_root,
                ann_file='annotations/panoptic_train2017_filtrefgumdval_filtvlp.json',
                data_prefix=dict(img='train2017/', seg='panoptic_train2017/'),
                captions_file='annotations/captions_train2017_filtrefgumdval_filtvlp.json',
                grounding_file='annotations/grounding_train2017_filtrefgumdval_filtvlp.json',
                pipeline=coco_pipeline,
            ),
        ),
    ),
    pairs=dict(
        batch_size=32,
        num_workers=4,
        persistent_workers=True,
        sampler=dict(type='ShardSampler'),
        dataset=dict(
            type='SeededDataset',
            dataset=dict(type='WebShardsDataset', shards=shards, pipeline=pairs_pipeline),
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoPanopticSegDataset',
        data_root=data_root,
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017/', seg='panoptic_val2017/'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='PanopticQuality'), dict(type='SemanticIoU')]
test_evaluator = val_evaluator
