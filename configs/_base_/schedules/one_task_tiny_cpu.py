# Minutes on one CPU core: one new task of a small model that stays as it is otherwise.
_base_ = './xdecoder_tiny_cpu.py'

train_cfg = dict(max_iters=400, val_interval=400)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=30, start_factor=0.02),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=1.0, eta_min=1e-5),
]
find_unused_parameters = True
