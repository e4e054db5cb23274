# focal-nano on the generated world, all tasks at once, starting from weights that segment it; made for one CPU core:
#   OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-nano_scenes-joint --load-from WEIGHTS
# The embedded model `scenes` is the last of five stages, the one with these settings: docs/scenes.md.
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/scenes_joint.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]
allow_missing = ('tasks.*',)

# A scene has at most 8 segments, and a mask of 32x32 logits needs few points. Language losses on few layers: faster.
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        segmentation=dict(
            loss=dict(num_points=512),
            noun_loss=dict(num_layers=1),
            object_mask_threshold=0.5,
        ),
        referring=dict(loss=dict(num_points=512, class_weight=1.0, mask_weight=2.0, dice_weight=2.0, num_layers=3)),
        captioning=dict(loss=dict(weight=6.0, num_layers=1)),
        retrieval=dict(loss=dict(weight=1.0, backbone_weight=1.0, num_layers=1)),
        vqa=dict(
            type='VQATask',
            answers={{_base_.answers}},
            embed_dims=128,
            content='tokens',
            loss=dict(type='AnswerLoss', loss_weight=6.0),
        ),
    ),
)

train_cfg = dict(max_iters=4600, val_interval=2300)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
