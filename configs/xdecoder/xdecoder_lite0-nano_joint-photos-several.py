# The last stage of `photos`: photographs of several animals of a class oftener than there are, and photographs of
# anything, in which what has none of the names is no object (docs/photos.md). From a model that knows the classes:
#   PHOTOS_SECONDS=3600 python tools/train.py xdecoder_lite0-nano_joint-photos-several --load-from photos.safetensors
_base_ = ['./xdecoder_lite0-nano_joint-photos.py', '../_base_/datasets/photos_more.py']

jitter = dict(type='LargeScaleJitter', size=(320, 320), scale_range=(0.8, 1.6), shared_offset=False)
texts = dict(type='DescribeSegments', num_phrases=3, num_questions=3)
pack = dict(type='PackXDetInputs')
augmented = [*_base_.segments_pipeline[:3], jitter, _base_.segments_pipeline[4]]
photographs = {**_base_.train_dataloader.segments.dataset.dataset, 'pipeline': [*augmented, texts, pack]}
anything = {**_base_.more_sources.anything.dataset.dataset, 'pipeline': [*augmented, pack]}
animals = dict(several_of=['cat', 'dog', 'horse', 'cow', 'sheep'])
parts = [
    dict(type='ClassBalancedDataset', oversample_thr=0.3, dataset=photographs),
    dict(type='RepeatDataset', times=5, dataset=dict(photographs, filter_cfg=animals)),
    dict(type='RepeatDataset', times=13, dataset=anything),
]
names = ['classes', 'vocabulary']  # COCO calls the sofa a couch
together = dict(type='SeededDataset', dataset=dict(type='ConcatDataset', ignore_keys=names, datasets=parts))
train_dataloader = dict(segments=dict(dataset=dict(_delete_=True, **together)), pairs=None, scenes=None)
segmentation = dict(loss=dict(importance_ratio=0.3, no_object_weight=0.2))
retrieval = dict(loss=dict(weight=0.25, backbone_weight=0.25))
model = dict(tasks=dict(segmentation=segmentation, retrieval=retrieval, vqa=dict(loss=dict(loss_weight=2.0))))
param_scheduler = None  # learning rates follow the clock
clock = dict(type='TimeBudgetHook', seconds=float('{{$PHOTOS_SECONDS:3600}}'), warmup=20)
custom_hooks = [*_base_.custom_hooks, clock, dict(type='EMAHook', momentum=0.01)]
train_cfg = dict(max_iters=1000000, val_interval=1000000)
default_hooks = dict(checkpoint=dict(interval=40))
optim_wrapper = dict(optimizer=dict(lr=3e-4))
auto_scale_lr = dict(base_batch_size=8)
frozen = ('text_encoder.*',)
