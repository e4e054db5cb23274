# Joint training of focal-nano on small real sets from the embedded `scenes`: panoptic and semantic segmentation,
# captions and retrieval, referring expressions, questions. On one CPU core; data: _base_/datasets/real_joint.py.
#   COCO_ROOT=... OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-nano_joint-real \
#       --weights xdet/assets/embedded_default.safetensors
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/real_joint.py',
    '../_base_/schedules/finetune_tiny_cpu.py',
    '../_base_/default_runtime.py',
]
allow_missing = ('tasks.*',)  # the classifier of answers knows other answers
find_unused_parameters = True
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        segmentation=dict(loss=dict(num_points=1024), noun_loss=None, object_mask_threshold=0.4, overlap_threshold=0.5),
        referring=dict(loss=dict(num_points=512, class_weight=1.0, mask_weight=2.0, dice_weight=2.0, num_layers=3)),
        captioning=dict(loss=dict(weight=2.0, num_layers=1)),
        retrieval=dict(loss=dict(weight=1.0, backbone_weight=1.0, num_layers=1)),
        vqa=dict(
            type='VQATask',
            answers={{_base_.answers}},
            embed_dims=128,
            content='tokens',  # as the weights of the package
            loss=dict(type='AnswerLoss', loss_weight=2.0),
        ),
    ),
)

train_cfg = dict(
    type='JointTrainLoop',
    max_iters=400,
    val_interval=400,
    weights=dict(pairs=2.0, referring=2.0, questions=2.0),
)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=100))
log_processor = dict(window_size=10)
auto_scale_lr = dict(base_batch_size=12)
