# A short schedule for small models trained from scratch: everything learns at the full rate, with warm-up and decay.
# The decay follows train_cfg.max_iters: 1.0 is the end of the training, whatever its length.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=6000, val_interval=6000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# The logit scale starts small (as released) and would need thousands of steps to grow at the common rate.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='XDecoderOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(lr_mults={'text_encoder.logit_scale': 10.0}),
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=100, start_factor=0.02),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=1.0, eta_min=1e-5),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
