# Question answering alone, on the generated world. Larger models: see docs/finetune.md.
_base_ = [
    '../../_base_/models/focal-nano.py',
    '../../_base_/datasets/scenes_joint.py',
    '../../_base_/schedules/finetune_tiny_cpu.py',
    '../../_base_/default_runtime.py',
]
allow_missing = ('tasks.*',)  # where the weights do not know the task yet
find_unused_parameters = True  # what makes masks has no part in the loss
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        _delete_=True,
        vqa=dict(
            type='VQATask',
            answers={{_base_.answers}},
            embed_dims=128,
            content='tokens',  # as the weights of the package
            loss=dict(type='AnswerLoss'),
        ),
    ),
)
train_pipeline = [
    dict(type='RenderScene', size={{_base_.size}}),
    dict(type='DescribeScene', texts=('questions',), num_questions=8),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='RenderScene', size={{_base_.size}}),
    dict(type='DescribeScene', texts=('questions',), test_mode=True, num_captions=1),
    dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',)),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(num_scenes=100, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='VQAAccuracy')]
test_evaluator = val_evaluator
