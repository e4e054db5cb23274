# RefCOCOg, Google split, val: 4,650 images, 5,000 objects, 9,536 sentences.
_base_ = '../_base_/referring_512.py'

test_dataloader = dict(dataset=dict(ann_file='annotations/refcocog_google.json', splits=['val']))
benchmark = dict(
    title='RefCOCOg, Google split',
    split='val',
    num_samples=4650,
    notes=(
        'The split is by objects: images are in the training part, too, with other objects.',
        'Sentences are lower-cased, without a full stop added.',
    ),
    layout='annotations/refcocog_google.json, train2017/*.jpg',
)
