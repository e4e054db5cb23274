# Captioning alone, by cross-entropy, on the generated world. Larger models: see docs/finetune.md.
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
        captioning=dict(
            type='CaptioningTask', embed_dims=128, text_width=64, loss=dict(type='CaptionLoss', num_layers=1)
        ),
    ),
)
train_pipeline = [
    dict(type='RenderScene', size={{_base_.size}}),
    dict(type='DescribeScene', texts=('caption',)),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='RenderScene', size={{_base_.size}}),
    dict(type='DescribeScene', texts=('caption',), test_mode=True, num_captions=1),
    dict(type='PackXDetInputs', test_mode=True, tasks=('caption',)),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(num_scenes=100, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='CaptionMatch')]
test_evaluator = val_evaluator
