# Minutes on one CPU core, for small models that know something already.
max_iters = 150

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='XDecoderOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(lr_mults={'text_encoder.logit_scale': 10.0}),
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=0.05, start_factor=0.1),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0.05, end=1.0, eta_min=1e-6),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
