# Captions and retrieval in one pass over the images of a Karpathy split, as squares of 224 pixels.
test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageTextDataset',
        splits=['test'],
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='mmdet.Resize', scale=(224, 224), keep_ratio=False, backend='pillow', interpolation='bilinear'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('caption', 'retrieval')),
        ],
        test_mode=True,
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = [dict(type='CaptionQuality'), dict(type='RetrievalRecall', ks=(1, 5, 10), decoder_weight=0.5)]
benchmark = dict(
    split='Karpathy test',
    headline=(
        'caption/BLEU-4',
        'caption/CIDEr-D',
        'retrieval/image_to_text_R@1',
        'retrieval/text_to_image_R@1',
    ),
    reference='X-Decoder, table 1 (fine-tuned); README v1.0 and v2.0 (zero-shot retrieval)',
    notes=(
        'All captions of an image take part in both directions, also those beyond the fifth.',
        'Captions are greedy and cut at the first full stop; the fine-tuned numbers of the paper use beams of 5.',
        'Without Java, BLEU-4_py and CIDEr-D_py stand in for BLEU-4 and CIDEr-D; see docs/metrics.md.',
    ),
)
protocols = dict(
    official=dict(
        why='Squashed to 224x224, Pillow bilinear; the cosines of decoder and backbone count equally. The published '
        'numbers use half precision.'
    ),
    recommended=dict(why='The same in single precision: image-text training saw nothing but such squares.'),
)
