# Closed-vocabulary fine-tuning on your own panoptic data in COCO's layout (docs/finetune.md), 8 GPUs, 4 images each:
#   bash tools/dist_train.sh xdecoder_focal-t_finetune-panoptic 8 --weights OFFICIAL_OR_OWN
_base_ = [
    '../../_base_/models/focal-t.py',
    '../../_base_/datasets/coco_panoptic.py',
    '../../_base_/schedules/finetune_24e.py',
    '../../_base_/default_runtime.py',
]
# Copy this file and change these three; the class list is that of the annotation file.
data_root = 'data/my_data/'
num_pictures = 2000
total_batch_size = 32

model = dict(
    tasks=dict(
        _delete_=True,
        segmentation=dict(type='SegmentationTask', loss=dict(type='SegmentationLoss')),
    ),
)
train = dict(
    ann_file='annotations/panoptic_train.json', data_prefix=dict(img='train/', seg='annotations/panoptic_train/')
)
val = dict(ann_file='annotations/panoptic_val.json', data_prefix=dict(img='val/', seg='annotations/panoptic_val/'))
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root, **train)))
val_dataloader = dict(dataset=dict(data_root=data_root, **val))
test_dataloader = val_dataloader

max_iters = 24 * num_pictures // total_batch_size
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
