# Closed-vocabulary fine-tuning on your own label maps: two folders and a list of class names (docs/get_started.md):
#   bash tools/dist_train.sh xdecoder_focal-t_finetune-semantic 4 --weights OFFICIAL_OR_OWN
_base_ = [
    '../../_base_/models/focal-t.py',
    '../../_base_/datasets/folder_semantic.py',
    '../../_base_/schedules/finetune_24e.py',
    '../../_base_/default_runtime.py',
]
# Copy this file and change these four.
data_root = 'data/my_data/'
classes = 'classes.txt'
num_pictures = 2000
total_batch_size = 32

model = dict(
    tasks=dict(
        _delete_=True,
        segmentation=dict(type='SegmentationTask', loss=dict(type='SegmentationLoss'), default_tasks=('semantic',)),
    ),
)
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root, classes=classes)))
val_dataloader = dict(dataset=dict(data_root=data_root, classes=classes))
test_dataloader = val_dataloader

max_iters = 24 * num_pictures // total_batch_size
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
