# focal-nano from nothing, all tasks at once, without ever seeing seven pairs of colour and shape (docs/scenes.md):
#   OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-nano_scenes-comp
# The test scenes have those pairs; val_comp, which is what validation reports, does not.
_base_ = './xdecoder_focal-nano_scenes-joint.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(num_questions=6, num_regions=1)
train_dataloader = dict(dataset=dict(dataset=dict(split='train_comp', pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(split='val_comp'))
test_dataloader = dict(dataset=dict(split='test_comp'))

train_cfg = dict(max_iters=4000, val_interval=2000)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
