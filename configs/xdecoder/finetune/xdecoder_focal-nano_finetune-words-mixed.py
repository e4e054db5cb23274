# Learns new words and keeps the old ones: only what reads words is trained, and every batch mixes both vocabularies.
_base_ = [
    '../../_base_/models/focal-nano.py',
    '../../_base_/datasets/scenes_panoptic.py',
    '../../_base_/schedules/finetune_tiny_cpu.py',
    '../../_base_/default_runtime.py',
]
trainable = ('text_encoder.*',)
model = dict(
    decoder=dict(num_queries=26),
    tasks=dict(
        _delete_=True,
        segmentation=dict(
            type='SegmentationTask',
            loss=dict(type='SegmentationLoss', num_points=512),
            object_mask_threshold=0.5,
        ),
    ),
)
scenes = dict(type='ScenesDataset', num_scenes=10000, pipeline={{_base_.train_pipeline}})
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='ConcatDataset',
            datasets=[dict(split='test_words', start=10000, **scenes), dict(split='train', **scenes)],
            # Each sample brings its own class list.
            ignore_keys=['classes', 'thing_classes', 'stuff_classes', 'vocabulary'],
        )
    )
)
val_dataloader = dict(dataset=dict(split='test_words', num_scenes=100))
test_dataloader = val_dataloader
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=150))
