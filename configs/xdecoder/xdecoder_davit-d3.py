_base_ = ['../_base_/models/davit-d3.py', '../_base_/inference_sizes.py', '../_base_/default_runtime.py']
