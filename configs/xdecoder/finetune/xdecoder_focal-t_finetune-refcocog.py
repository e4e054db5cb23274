# Referring segmentation on RefCOCOg, 24 epochs of its 21,899 training images at batch size 32 (8 GPUs, 4 each):
#   bash tools/dist_train.sh xdecoder_focal-t_finetune-refcocog 8 --weights OFFICIAL_OR_OWN
_base_ = [
    '../../_base_/models/focal-t.py',
    '../../_base_/datasets/refcoco.py',
    '../../_base_/schedules/finetune_24e.py',
    '../../_base_/default_runtime.py',
]
model = dict(
    tasks=dict(
        _delete_=True,
        referring=dict(type='ReferringTask', mode='independent', loss=dict(type='GroundingLoss')),
    ),
)
max_iters = 24 * 21899 // 32
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 8)
# The paper says that the rate is lower than for segmentation, not how much.
optim_wrapper = dict(optimizer=dict(lr=2e-5))
