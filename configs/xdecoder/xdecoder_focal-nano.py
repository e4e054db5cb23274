_base_ = ['../_base_/models/focal-nano.py', '../_base_/default_runtime.py']
