# ADE20K-150 with "oracle prompts": every image is given the classes of its ground truth, and no others.
_base_ = '../ade20k-150.py'
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
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ImageLabelFolderDataset',
        data_root=_base_.data_root,
        data_prefix=dict(img='images/validation/', seg='annotations/validation/'),
        img_suffix='.jpg',
        classes=dict(name='ade20k_150', synonyms=False),
        ignore_label=0,
        label_offset=1,
        pipeline=oracle_pipeline,
        test_mode=True,
    )
)
test_evaluator = [dict(type='OracleSemanticIoU')]
benchmark = dict(
    title='ADE20K-150, oracle prompts',
    headline=('semantic/mIoU',),
    reference='X-Decoder, appendix (oracle prompts)',
    notes=('Measures masks and the choice among the classes of an image; not comparable with the whole class list.',),
)
protocols = dict(
    official=dict(_delete_=True, why='As published: one name a class.'),
    recommended={
        '_delete_': True,
        'test_dataloader.dataset.classes.synonyms': True,
        'why': 'Synonyms, as for the whole class list. Not measured with released weights yet.',
    },
)
