# focal-nano learns new words (disc, scarlet, lawn) for what it knows, in minutes on one CPU core (docs/finetune.md):
#   python tools/train.py xdecoder_focal-nano_finetune-words --weights xdet/assets/embedded_default.safetensors
_base_ = [
    '../../_base_/models/focal-nano.py',
    '../../_base_/datasets/scenes_panoptic.py',
    '../../_base_/schedules/finetune_tiny_cpu.py',
    '../../_base_/default_runtime.py',
]
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
# The images of `test_words` are those of `test`; training takes others than testing.
train_dataloader = dict(dataset=dict(dataset=dict(split='test_words', start=10000, num_scenes=10000)))
val_dataloader = dict(dataset=dict(split='test_words', num_scenes=100))
test_dataloader = val_dataloader
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=150))
