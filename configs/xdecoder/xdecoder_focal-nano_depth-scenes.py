# Depth of the generated world, read from the features of the embedded model `scenes`, which stays as it is: only the
# depth task learns (docs/depth.md). Made for one CPU core, minutes:
#   OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-nano_depth-scenes
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/scenes_depth.py',
    '../_base_/schedules/one_task_tiny_cpu.py',
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

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))
