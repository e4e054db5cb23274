# The tiny model trained jointly on two sources of generated pictures, segments here and captions there.
_base_ = './tiny_run.py'

model = dict(
    tasks=dict(
        segmentation=dict(loss=dict(num_points=64)),
        captioning=dict(type='CaptioningTask', embed_dims=32, text_width=8, loss=dict(type='CaptionLoss')),
        retrieval=dict(type='RetrievalTask', backbone_channels=64, embed_dims=32, loss=dict(type='RetrievalLoss')),
    )
)

segments = [
    dict(type='RenderScene', size=64),
    dict(type='PackXDetInputs'),
]
captions = [
    dict(type='RenderScene', size=64),
    dict(type='DescribeScene', texts=('caption',)),
    dict(type='PackXDetInputs', segments=False),
]
scenes = dict(type='ScenesDataset', split='train')
train_dataloader = dict(
    _delete_=True,
    segments=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='ResumableSampler'),
        dataset=dict(type='SeededDataset', dataset=dict(num_scenes=6, pipeline=segments, **scenes)),
    ),
    captions=dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='ResumableSampler'),
        dataset=dict(type='SeededDataset', dataset=dict(num_scenes=10, pipeline=captions, **scenes)),
    ),
)
val_dataloader = None
val_cfg = None
val_evaluator = None
test_dataloader = None
test_cfg = None
test_evaluator = None

train_cfg = dict(_delete_=True, type='JointTrainLoop', max_iters=4, weights=dict(captions=0.5))
find_unused_parameters = True
param_scheduler = None
default_hooks = dict(checkpoint=dict(interval=2))
