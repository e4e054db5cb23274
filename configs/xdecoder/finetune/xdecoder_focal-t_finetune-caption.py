# Captioning by cross-entropy on COCO's Karpathy split, the paper's 10 epochs at 480 pixels and batch size 256 (8 GPUs):
#   bash tools/dist_train.sh xdecoder_focal-t_finetune-caption 8 --weights OFFICIAL_OR_OWN
_base_ = [
    '../../_base_/models/focal-t.py',
    '../../_base_/datasets/image_text_pairs.py',
    '../../_base_/schedules/finetune_24e.py',
    '../../_base_/default_runtime.py',
]
find_unused_parameters = True  # what makes masks has no part in the loss
model = dict(
    tasks=dict(
        _delete_=True,
        captioning=dict(type='CaptioningTask', embed_dims=512, text_width=512, loss=dict(type='CaptionLoss')),
    ),
)
resize = dict(type='mmdet.Resize', scale=(480, 480), keep_ratio=False, backend='pillow', interpolation='bilinear')
train_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='ChooseCaption', with_nouns=False),
    dict(type='PackXDetInputs', segments=False),
]
test_pipeline = [dict(type='LoadXDetImage'), resize, dict(type='PackXDetInputs', test_mode=True, tasks=('caption',))]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_evaluator = [dict(type='CaptionMatch')]
test_evaluator = val_evaluator

max_iters = 10 * 113287 // 256
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 10)
optim_wrapper = dict(optimizer=dict(lr=2e-5))
auto_scale_lr = dict(base_batch_size=256)
