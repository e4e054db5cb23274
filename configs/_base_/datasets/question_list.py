# Your own questions, in lists with one row per question: image, question, and answer, answers or human_answers (see
# QuestionListDataset). data/my_questions/ holds images/, train.jsonl and val.jsonl.
dataset_type = 'QuestionListDataset'
data_root = 'data/my_questions/'
data_prefix = dict(img='images/')

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=False, backend='pillow', interpolation='bicubic'),
    dict(type='ChooseQuestions', max_questions=8),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=False, backend='pillow', interpolation='bicubic'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',)),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            ann_file='train.jsonl',
            data_prefix=data_prefix,
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='val.jsonl',
        data_prefix=data_prefix,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type='VQAAccuracy')]
test_evaluator = val_evaluator
