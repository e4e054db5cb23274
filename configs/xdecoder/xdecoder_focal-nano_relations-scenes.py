# Left, right, above and below in the generated world: the embedded model `scenes` with positions in what its queries
# see of the image (docs/model.md, 5). At first the numbers are those of `scenes`. Made for one CPU core:
#   OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-nano_relations-scenes
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/scenes_joint.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]

load_from = '${embedded_scenes}'
allow_missing = ('decoder.layers.*.value_position.weight',)  # begin as zero
model = dict(
    decoder=dict(num_queries=26, value_positions=True),
    tasks=dict(
        segmentation=dict(loss=dict(num_points=512), noun_loss=dict(num_layers=1), object_mask_threshold=0.5),
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

train_cfg = dict(max_iters=2000, val_interval=1000)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
