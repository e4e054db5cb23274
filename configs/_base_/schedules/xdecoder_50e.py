# The official recipe: 50 epochs of COCO (118,287 images) at batch size 32, without warm-up, learning rate divided by 10
# at 88.9 % and 96.3 % of the iterations. Other data: scale the four iteration counts.
max_iters = 184850

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=3697)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='XDecoderOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(lr_mults=dict(backbone=0.1, text_encoder=0.1)),
)
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[164311, 178003], gamma=0.1, end=max_iters)
auto_scale_lr = dict(enable=False, base_batch_size=32)
