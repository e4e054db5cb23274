# VQAv2 in the files of visualqa.org, at the official 640x640 pixels. A sample is an image with its questions (5.4 on
# average), so that it is encoded once for all of them.
dataset_type = 'VQADataset'
data_root = 'data/coco/'

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='mmdet.Resize', scale=(640, 640), keep_ratio=False, backend='pillow', interpolation='bicubic'),
    dict(type='ChooseQuestions', max_questions=8),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='mmdet.Resize', scale=(640, 640), keep_ratio=False, backend='pillow', interpolation='bicubic'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',)),
]

train_dataloader = dict(
    batch_size=6,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            ann_file='vqa/v2_OpenEnded_mscoco_train2014_questions.json',
            answers_file='vqa/v2_mscoco_train2014_annotations.json',
            data_prefix=dict(img='train2014/'),
            img_name='COCO_train2014_{image_id:012d}.jpg',
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='vqa/v2_OpenEnded_mscoco_val2014_questions.json',
        answers_file='vqa/v2_mscoco_val2014_annotations.json',
        data_prefix=dict(img='val2014/'),
        img_name='COCO_val2014_{image_id:012d}.jpg',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='VQAAccuracy')]
test_evaluator = val_evaluator
