# focal-nano from scratch on CamVid's 367 training frames, about an hour on one CPU core:
#   OMP_NUM_THREADS=1 python tools/train.py configs/xdecoder/xdecoder_focal-nano_camvid.py
_base_ = [
    '../_base_/models/focal-nano.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/xdecoder_tiny_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        _delete_=True,
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss', num_points=2048),
            default_tasks=('semantic',),
        ),
    ),
)
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)

train_cfg = dict(max_iters=3600, val_interval=1200)
optim_wrapper = dict(optimizer=dict(lr=6e-4))
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=250))
auto_scale_lr = dict(base_batch_size=4)
