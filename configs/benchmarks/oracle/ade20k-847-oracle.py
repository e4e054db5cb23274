# ADE20K-847 with "oracle prompts": every image is given the classes of its ground truth, and no others.
_base_ = '../ade20k-847.py'
oracle_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=640, max_size=2560),
    dict(type='LoadSegments'),
    dict(type='OracleVocabulary'),
    dict(
        type='PackXDetInputs',
        test_mode=True,
        tasks=('semantic',),
        meta_keys=('img_path', 'img_id', 'ori_shape', 'img_shape', 'vocabulary', 'vocabulary_labels'),
    ),
]
test_dataloader = dict(dataset=dict(pipeline=oracle_pipeline))
test_evaluator = [dict(type='OracleSemanticIoU')]
benchmark = dict(
    title='ADE20K-847, oracle prompts',
    reference='X-Decoder, appendix (oracle prompts)',
    notes=('Measures masks and the choice among the classes of an image; not comparable with the whole class list.',),
)
