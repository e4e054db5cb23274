# SUN RGB-D 37 with "oracle prompts": every image is given the classes of its ground truth, and no others.
_base_ = '../sunrgbd-37.py'
test_dataloader = dict(dataset=dict(pipeline=_base_.oracle_pipeline))
test_evaluator = [dict(type='OracleSemanticIoU')]
benchmark = dict(
    title='SUN RGB-D 37, oracle prompts',
    reference='X-Decoder, appendix (oracle prompts)',
    notes=('Measures masks and the choice among the classes of an image; not comparable with the whole class list.',),
)
