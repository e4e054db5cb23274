# The official recipe: 50 epochs of COCO (118,287 images) at batch size 32, without warm-up, learning rate divided by 10
# at 8/9 and 26/27 of the iterations (floats are fractions). Other data: change max_iters and val_interval of train_cfg.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=184850, val_interval=3697)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='XDecoderOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(lr_mults=dict(backbone=0.1, text_encoder=0.1)),
)
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[0.88889, 0.96296], gamma=0.1)
auto_scale_lr = dict(enable=False, base_batch_size=32)
