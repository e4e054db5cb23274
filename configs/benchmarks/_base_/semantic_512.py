# Semantic segmentation as the official code tests indoor scenes: bicubic, shortest edge 512, longest edge not limited.
_base_ = './testing.py'
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=512, rule='torchvision'),
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
]
# For "oracle prompts": the vocabulary of an image is the classes of its ground truth.
oracle_pipeline = [
    *test_pipeline[:-1],
    dict(type='OracleVocabulary'),
    dict(
        type='PackXDetInputs',
        test_mode=True,
        tasks=('semantic',),
        meta_keys=('img_path', 'img_id', 'ori_shape', 'img_shape', 'vocabulary', 'vocabulary_labels'),
    ),
]
test_dataloader = dict(dataset=dict(type='ImageLabelListDataset', pipeline=test_pipeline))
test_evaluator = [dict(type='SemanticIoU')]
variants = {
    '{name}-oracle': dict(
        test_dataloader=dict(dataset=dict(pipeline=oracle_pipeline)),
        test_evaluator=[dict(type='OracleSemanticIoU')],
        benchmark=dict(
            title='{title}, oracle prompts',
            reference='X-Decoder, appendix (oracle prompts)',
            notes=(
                'Measures masks and the choice among the classes of an image; not comparable with the whole class '
                'list.',
            ),
        ),
    )
}
