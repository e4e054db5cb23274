# Keypoints of animals, read from the object queries of a model for photographs, which stays as it is: only the pose
# task learns (docs/photos.md, Pose).
#   python tools/train.py xdecoder_lite0-nano_pose-photos --load-from photos.safetensors
_base_ = [
    '../_base_/models/lite0-nano.py',
    '../_base_/datasets/photos_pose.py',
    '../_base_/schedules/one_task_tiny_cpu.py',
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
