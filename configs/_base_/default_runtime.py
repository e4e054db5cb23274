default_scope = 'xdet'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    known_words=dict(type='KnownWordsHook'),
)
custom_hooks = [dict(type='IterationSeedHook'), dict(type='InvalidLossHook'), dict(type='BrokenSamplesHook')]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='XDetLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(type='XDetLogProcessor', window_size=50, by_epoch=False)

log_level = 'INFO'
load_from = None
resume = False
