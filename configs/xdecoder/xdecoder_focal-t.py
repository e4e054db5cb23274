_base_ = ['../_base_/models/focal-t.py', '../_base_/inference_sizes.py', '../_base_/default_runtime.py']
