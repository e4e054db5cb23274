# Captions and retrieval on your own images.
_base_ = './_base_/own_data.py'
test_dataloader = dict(
    dataset=dict(
        type='ImageTextDataset',
        ann_file='captions.json',
        data_prefix=dict(img='images/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='retrieval'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('caption', 'retrieval')),
        ],
    )
)
test_evaluator = [
    dict(type='CaptionQuality'),
    dict(type='RetrievalRecall'),
]
benchmark = dict(
    title='own captions',
    split='all',
    headline=('caption/BLEU-4', 'caption/CIDEr-D', 'retrieval/image_to_text_R@1', 'retrieval/text_to_image_R@1'),
    layout='captions.json (COCO captions, or a list of records with image and caption), images/',
)
