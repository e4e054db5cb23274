# Captions and retrieval on your own pictures.
data_root = 'data/my_data/'
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageTextDataset',
        data_root=data_root,
        ann_file='captions.json',
        data_prefix=dict(img='images/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='retrieval'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('caption', 'retrieval')),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = [
    dict(type='CaptionQuality'),
    dict(type='RetrievalRecall'),
]
benchmark = dict(
    title='own captions',
    split='all',
    own_data=True,
    headline=('caption/BLEU-4', 'caption/CIDEr-D', 'retrieval/image_to_text_R@1', 'retrieval/text_to_image_R@1'),
    layout='captions.json (COCO captions, or a list of records with image and caption), images/',
    notes=[],
)
protocols = dict(
    official=dict(why='nothing was published for your data; as recommended'),
    recommended=dict(why="pictures have the size that the model's config gives them for inference"),
)
