# Captions of the generated world by self-critical training (docs/training.md), from the embedded model `scenes`, which
# writes them already. Made for one CPU core:
#   OMP_NUM_THREADS=1 python tools/train.py xdecoder_focal-nano_self-critical-scenes
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/scenes_joint.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]

load_from = '${embedded_scenes}'
trainable = ['decoder', 'tasks.captioning']
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        segmentation=dict(loss=dict(num_points=512), object_mask_threshold=0.5),
        retrieval=dict(loss=dict(weight=1.0, backbone_weight=1.0, num_layers=1)),
        captioning=dict(
            type='SelfCriticalCaptioning', samples=4, reward_weight=10.0, loss=dict(weight=1.0, num_layers=1)
        ),
        vqa=dict(type='VQATask', answers={{_base_.answers}}, embed_dims=128, content='tokens'),
    ),
)

# Segments are trained along, so that queries stay where they are; of the texts captions only.
train_pipeline = [
    dict(type='RenderScene', size={{_base_.size}}),
    dict(type='DescribeScene', texts=('caption',), caption_styles=dict(canonical=1.0)),
    dict(type='PackXDetInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))

train_cfg = dict(max_iters=1000, val_interval=500)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=50))
