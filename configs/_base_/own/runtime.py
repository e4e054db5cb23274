# Small trainings on your own data: a log line every 10 iterations, a checkpoint every `interval` and at the end. They
# start from the weights that come with the package; `--weights FILE` or another `load_from` starts from others.
_base_ = '../default_runtime.py'

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval='${interval}'))
log_processor = dict(window_size=10)
load_from = '${embedded_scenes}'
