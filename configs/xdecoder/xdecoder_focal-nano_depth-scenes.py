# Depth of the generated world, read from the features of the embedded model `scenes`, which stays as it is: only the
# depth task learns (docs/depth.md). Made for one CPU core, minutes:
#   OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-nano_depth-scenes
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/scenes_depth.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]

model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        segmentation=dict(object_mask_threshold=0.5),
        vqa=dict(type='VQATask', answers={{_base_.answers}}, embed_dims=128, content='tokens'),
        depth=dict(
            type='DepthTask',
            embed_dims=128,
            head=dict(backbone_channels=(32, 64), typical=7.5),
            max_depth=20.0,
            loss=dict(type='SILogLoss', loss_weight=100.0),
        ),
    ),
)
load_from = '${embedded_scenes}'
allow_missing = ('tasks.depth.*',)  # the weights do not know the task
trainable = ['tasks.depth']

train_cfg = dict(max_iters=400, val_interval=400)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=30, start_factor=0.02),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=1.0, eta_min=1e-5),
]
find_unused_parameters = True
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))
