# Small trainings on your own data: a log line every 10 iterations, a checkpoint every `interval` and at the end. They
# start from the model of photographs that comes with the package; `--weights FILE` or another `load_from` starts from
# others.
_base_ = ['../schedules/finetune_tiny_cpu.py', '../default_runtime.py']

# The backbone knows ImageNet and the text encoder a language; few images are no reason to change much of either.
optim_wrapper = dict(paramwise_cfg=dict(lr_mults={'backbone': 0.1, 'text_encoder': 0.2}))
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval='${interval}'))
log_processor = dict(window_size=10)
load_from = '${embedded_photos}'
