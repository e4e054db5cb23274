# Detection data: boxes and class names, no masks (weak supervision, docs/datasets.md). The model needs
#   tasks=dict(segmentation=dict(loss=dict(box_loss=dict(type='BoxMaskLoss'))))
# Tested on masks, like coco_instance.py.
_base_ = './coco_instance.py'

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(1024, 1024), scale_range=(0.1, 2.0)),
    dict(type='PackXDetInputs', box_affinity=True),
]
train_dataloader = dict(dataset=dict(dataset=dict(boxes_only=True, pipeline=train_pipeline)))
