# Your own questions: lists of images, questions and answers, and a list of all answers; made for a CPU
# (docs/finetune.md). A config of yours inherits from this one and sets those of the following values that differ.
_base_ = ['../models/lite0-nano.py', './runtime.py']

data_root = 'data/my_data'
train_file = 'train.jsonl'  # JSON, JSONL, CSV, TSV or Parquet, one row per question
val_file = 'val.jsonl'
images = 'images/'
answers = '${data_root}/answers.txt'  # or the answers themselves
size = 160
batch_size = 4
max_iters = 300
interval = 100  # of validations and checkpoints

allow_missing = ('tasks.vqa.*',)  # the answers are others than those of the weights
find_unused_parameters = True  # what makes masks has no part in the loss
model = dict(
    tasks=dict(
        _delete_=True,
        vqa=dict(
            type='VQATask',
            answers='${answers}',
            embed_dims=128,
            content='tokens',  # as the weights of the package
            loss=dict(type='AnswerLoss'),
        ),
    ),
)
resize = dict(
    type='mmdet.Resize', scale=('${size}', '${size}'), keep_ratio=False, backend='pillow', interpolation='bicubic'
)
train_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='ChooseQuestions', max_questions=8),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',))]
inference_pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True)]
dataset = dict(type='QuestionListDataset', data_root='${data_root}', data_prefix=dict(img='${images}'))
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
val_evaluator = [dict(type='VQAAccuracy')]
test_evaluator = val_evaluator

train_cfg = dict(max_iters='${max_iters}', val_interval='${interval}')
auto_scale_lr = dict(base_batch_size='${batch_size}')
