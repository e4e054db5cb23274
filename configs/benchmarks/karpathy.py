# Captions and retrieval in one pass over the images of a Karpathy split, as squares of 224 pixels. The published
# dataset_coco.json and dataset_flickr30k.json are read as they are.
_base_ = './_base_/testing.py'
data_root = 'data/coco/'
test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='ImageTextDataset',
        splits=['test'],
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='mmdet.Resize', scale=(224, 224), keep_ratio=False, backend='pillow', interpolation='bilinear'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('caption', 'retrieval')),
        ],
    ),
)
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
variants = {
    'coco-karpathy': dict(
        test_dataloader=dict(
            dataset=dict(data_root=data_root, ann_file='annotations/dataset_coco.json', data_prefix=dict(img=''))
        ),
        benchmark=dict(
            title='COCO captions and retrieval',
            num_samples=5000,
            layout='annotations/dataset_coco.json, val2014/COCO_val2014_*.jpg',
        ),
    ),
    'flickr30k-karpathy': dict(
        data_root='data/flickr30k/',
        test_dataloader=dict(
            dataset=dict(
                data_root='data/flickr30k/',
                ann_file='dataset_flickr30k.json',
                data_prefix=dict(img='flickr30k-images/'),
            )
        ),
        benchmark=dict(
            title='Flickr30k captions and retrieval',
            num_samples=1000,
            reference='X-Decoder, table 1 (fine-tuned retrieval)',
            layout='dataset_flickr30k.json, flickr30k-images/*.jpg',
        ),
    ),
}
