# Keypoints of animals, read from the object queries of a model for photographs, which stays as it is: only the pose
# task learns (docs/photos.md, Pose).
#   python tools/train.py xdecoder_lite0-nano_pose-photos --load-from photos.safetensors
_base_ = [
    '../_base_/models/lite0-nano.py',
    '../_base_/datasets/photos_pose.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]

model = dict(
    tasks=dict(
        vqa=dict(type='VQATask', answers={{_base_.answers}}, embed_dims=128, content='tokens'),
        pose=dict(
            type='PoseTask',
            keypoints={{_base_.keypoints}},
            skeleton={{_base_.skeleton}},
            embed_dims=128,
            head=dict(backbone_channels=(24, 40, 112, 320)),
            matcher=dict(num_points=1024, class_weight=4.0),
            loss=dict(type='KeypointLoss'),
        ),
    ),
)
allow_missing = ('tasks.pose.*',)  # weights that do not know the task yet
trainable = ['tasks.pose']

train_cfg = dict(max_iters=400, val_interval=400)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=30, start_factor=0.02),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=1.0, eta_min=1e-5),
]
find_unused_parameters = True
