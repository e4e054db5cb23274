# The generated world with exact depth maps (docs/depth.md).
_base_ = './scenes_joint.py'
size = 128

depth_pipeline = [
    dict(type='RenderScene', size=size),
    dict(type='RenderDepth'),
    dict(type='PackXDetInputs', segments=False, tasks=('depth',)),
]
depth_test_pipeline = [
    dict(type='RenderScene', size=size),
    dict(type='RenderDepth'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('depth',)),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=depth_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=depth_test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=depth_test_pipeline))

# The constant is the depth that the pixels of training scenes have on (geometric) average.
val_evaluator = [dict(type='DepthError', constant=8.48)]
test_evaluator = val_evaluator
