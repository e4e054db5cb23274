# The joint training of 32 GPUs on a single one: 16 iterations of 2 COCO images and 64 pairs make one update from 32
# and 1024. Not the same in one thing: a pair is contrasted with the other 63 of its iteration instead of 1023.
_base_ = './xdecoder_focal-t_32xb1-32-50e_coco-pairs.py'
model = dict(backbone=dict(with_cp=True), decoder=dict(with_cp=True), text_encoder=dict(with_cp=True))
train_dataloader = dict(coco=dict(batch_size=2), pairs=dict(batch_size=64))
optim_wrapper = dict(accumulative_counts=16)
train_cfg = dict(max_iters=2600000, val_interval=52000)
default_hooks = dict(checkpoint=dict(interval=16000))
