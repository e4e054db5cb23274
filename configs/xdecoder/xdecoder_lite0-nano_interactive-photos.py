# Queries of clicks, boxes and rough masks for a model that stays as it is: only the interactive task learns
# (docs/interactive.md, Trained).
#   python tools/train.py xdecoder_lite0-nano_interactive-photos
_base_ = [
    '../_base_/models/lite0-nano.py',
    '../_base_/datasets/photos_interactive.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]

model = dict(
    tasks=dict(
        vqa=dict(type='VQATask', answers={{_base_.answers}}, embed_dims=128, content='tokens'),
        interactive=dict(_delete_=True, type='ClickTask', embed_dims=128, loss=dict(type='ClickLoss')),
    ),
)
load_from = '${embedded_photos}'
allow_missing = ('tasks.interactive.*',)  # weights that do not know the queries yet
trainable = ['tasks.interactive']

train_cfg = dict(type='JointTrainLoop', max_iters=400)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=20, start_factor=0.02),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=1.0, eta_min=1e-5),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=100))
find_unused_parameters = True
