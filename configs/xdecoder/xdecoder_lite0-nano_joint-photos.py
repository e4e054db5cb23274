# Photographs and the generated world, all tasks at once: segments, phrases, captions, questions and retrieval. Starts
# from an ImageNet backbone, a distilled text tower and the decoder of the generated world. Data, start: docs/photos.md.
#   python tools/train.py xdecoder_lite0-nano_joint-photos --load-from start.safetensors
_base_ = [
    '../_base_/models/lite0-nano.py',
    '../_base_/datasets/photos_joint.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]

model = dict(
    tasks=dict(
        segmentation=dict(
            # The class side is what takes time: masks are learned at once.
            loss=dict(num_points=1024, class_weight=4.0),
            noun_loss=dict(num_layers=1),
            # What has none of the names is no "cat" either: semantic maps leave it without a name.
            background_score=0.4,
        ),
        referring=dict(loss=dict(num_points=1024, class_weight=1.0, mask_weight=2.0, dice_weight=2.0, num_layers=3)),
        captioning=dict(loss=dict(weight=4.0, num_layers=1)),
        retrieval=dict(loss=dict(weight=1.0, backbone_weight=1.0, num_layers=1)),
        vqa=dict(
            type='VQATask',
            answers={{_base_.answers}},
            embed_dims=128,
            content='tokens',
            loss=dict(type='AnswerLoss', loss_weight=4.0),
        ),
    ),
)

train_cfg = dict(type='JointTrainLoop', max_iters=20000, val_interval=5000)
optim_wrapper = dict(
    optimizer=dict(lr=8e-4),
    paramwise_cfg=dict(lr_mults={'backbone': 0.1, 'text_encoder': 0.2, 'text_encoder.logit_scale': 2.0}),
)
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=500))
find_unused_parameters = True
