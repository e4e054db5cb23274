_base_ = ['../_base_/models/davit-d5.py', '../_base_/default_runtime.py']
