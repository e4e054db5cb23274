# Closed-vocabulary fine-tuning on your own instance masks (COCO JSON with polygons or RLE, as annotation tools export):
#   bash tools/dist_train.sh xdecoder_focal-t_finetune-instance 8 --weights OFFICIAL_OR_OWN
_base_ = [
    '../../_base_/models/focal-t.py',
    '../../_base_/datasets/coco_instance.py',
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
        segmentation=dict(type='SegmentationTask', loss=dict(type='SegmentationLoss'), default_tasks=('instance',)),
    ),
)
train = dict(data_root=data_root, ann_file='annotations/instances_train.json', data_prefix=dict(img='train/'))
val = dict(data_root=data_root, ann_file='annotations/instances_val.json', data_prefix=dict(img='val/'))
train_dataloader = dict(dataset=dict(dataset=train))
val_dataloader = dict(dataset=val)
test_dataloader = val_dataloader
val_evaluator = [dict(type='InstanceAP', ann_file=data_root + 'annotations/instances_val.json')]
test_evaluator = val_evaluator

max_iters = 24 * num_pictures // total_batch_size
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
