_base_ = './xdecoder_focal-l.py'
model = dict(decoder=dict(num_queries=101))
