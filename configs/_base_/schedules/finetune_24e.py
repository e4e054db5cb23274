# The paper's fine-tuning of generic segmentation (appendix A.2): 24 epochs, rate divided by 10 after 21 and 23.
# The number of iterations is that of COCO's 118,287 images at batch size 32; set max_iters for other data.
max_iters = 24 * 118287 // 32

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters // 8)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='XDecoderOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(lr_mults=dict(backbone=0.1, text_encoder=0.1)),
)
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[21 / 24, 23 / 24], gamma=0.1)
auto_scale_lr = dict(enable=False, base_batch_size=32)
