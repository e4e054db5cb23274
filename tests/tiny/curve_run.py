# Every task at once, from two sources: segments, nouns, phrases and questions here, captions there.
_base_ = './joint_run.py'

model = dict(
    tasks=dict(
        segmentation=dict(noun_loss=dict(type='NounContrastiveLoss')),
        referring=dict(type='ReferringTask', loss=dict(type='GroundingLoss', num_points=64)),
        vqa=dict(
            type='VQATask',
            answers=('yes', 'no', 'red', 'blue', 'green', '1', '2', '3'),
            embed_dims=32,
            loss=dict(type='AnswerLoss'),
        ),
    )
)
segments = [
    dict(type='RenderScene', size=64),
    dict(type='DescribeScene', texts=('caption', 'phrases', 'questions')),
    dict(type='LargeScaleJitter', size=(64, 64), scale_range=(0.9, 1.3)),
    dict(type='PackXDetInputs', tasks=('panoptic', 'refseg', 'vqa')),
]
train_dataloader = dict(segments=dict(dataset=dict(dataset=dict(pipeline=segments))))
train_cfg = dict(max_iters=50)
# Plain gradients, small steps: rounding on another processor then stays rounding.
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=2e-3, momentum=0.9, weight_decay=0.0))
default_hooks = dict(checkpoint=None, logger=dict(interval=1000))
randomness = dict(seed=0)
