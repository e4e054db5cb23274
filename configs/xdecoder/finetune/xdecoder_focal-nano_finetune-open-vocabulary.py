# Own classes without forgetting other words, for words that the text tower has read: the tower is frozen, and every
# batch mixes own data with data of the old vocabulary (here the generated world, whose words `scenes` knows).
_base_ = [
    '../../_base_/models/focal-nano.py',
    '../../_base_/datasets/my_coco_tiny.py',
    '../../_base_/schedules/finetune_tiny_cpu.py',
    '../../_base_/default_runtime.py',
]
frozen = ('text_encoder.*',)
loss = dict(type='SegmentationLoss', num_points=512)
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(_delete_=True, segmentation=dict(type='SegmentationTask', loss=loss, object_mask_threshold=0.5)),
)

my_data = dict(
    data_root={{_base_.data_root}},
    ann_file='annotations/panoptic_train.json',
    data_prefix=dict(img='train/', seg='annotations/panoptic_train/'),
)
old_pipeline = [dict(type='RenderScene', size=128), dict(type='PackXDetInputs')]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='ConcatDataset',
            datasets=[
                dict(type={{_base_.dataset_type}}, pipeline={{_base_.train_pipeline}}, **my_data),
                dict(type='ScenesDataset', split='train', num_scenes=400, pipeline=old_pipeline),  # equal shares
            ],
            # Every sample brings its own class list.
            ignore_keys=['classes', 'thing_classes', 'stuff_classes', 'vocabulary'],
        )
    )
)
max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=max_iters))
