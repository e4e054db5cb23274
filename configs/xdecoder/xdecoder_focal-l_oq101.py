_base_ = ['../_base_/models/focal-l.py', '../_base_/inference_sizes.py', '../_base_/default_runtime.py']
model = dict(decoder=dict(num_queries=101))
