# Semantic segmentation in the official sizes of ADE20K.
_base_ = './semantic_512.py'
resize = dict(type='ResizeShortestEdge', scale=640, max_size=2560)
test_pipeline = [_base_.test_pipeline[0], resize, *_base_.test_pipeline[2:]]
oracle_pipeline = [_base_.oracle_pipeline[0], resize, *_base_.oracle_pipeline[2:]]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
variants = {'{name}-oracle': dict(test_dataloader=dict(dataset=dict(pipeline=oracle_pipeline)))}
