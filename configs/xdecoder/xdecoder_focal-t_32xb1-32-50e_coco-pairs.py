# The paper's joint training: 32 GPUs with 1 COCO image and 32 image-text pairs each, 50 epochs of COCO's 104 thousand
# images without those of the test sets. We have not run it to its end.
_base_ = [
    '../_base_/models/focal-t.py',
    '../_base_/datasets/coco_pairs.py',
    '../_base_/schedules/xdecoder_50e.py',
    '../_base_/default_runtime.py',
]
train_cfg = dict(type='JointTrainLoop', max_iters=162500, val_interval=3250)
find_unused_parameters = True
auto_scale_lr = dict(base_batch_size=1056)
