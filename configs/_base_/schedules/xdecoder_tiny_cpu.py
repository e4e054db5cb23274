# A short schedule for small models trained from scratch: everything learns at the full rate, with warm-up and decay.
max_iters = 6000

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='XDecoderOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(lr_mults=dict()),
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=200, start_factor=0.01),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=200, end=max_iters, eta_min=5e-6),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
