# PhraseCut (arXiv 2008.01187), test: 2,545 images, 14,354 phrases. Each describes all regions that fit it, also stuff.
_base_ = './_base_/referring_512.py'
data_root = 'data/phrasecut/'

test_dataloader = dict(
    dataset=dict(
        type='PhraseCutDataset',
        data_root=data_root,
        ann_file='refer_test.json',
        image_file='image_data_split3000.json',
        data_prefix=dict(img='images/'),
        img_name='{image_id}.jpg',
    )
)
test_evaluator = [dict(type='ReferringIoU', thresholds=(0.5, 0.7, 0.9))]
benchmark = dict(
    title='PhraseCut',
    split='test',
    num_samples=2545,
    headline=('referring/cIoU', 'referring/mIoU', 'referring/P@0.5'),
    reference='none: the official code names PhraseCut but cannot test on it',
    layout='refer_test.json, image_data_split3000.json, images/*.jpg',
    notes=(
        'Regions are drawn as by the authors of the data: coordinates cut to integers, outlines filled.',
        'The model chooses one query per phrase, so that several regions of a phrase must be in one mask.',
    ),
)
protocols = dict(
    official=dict(
        why='There is none; as that of RefCOCO: all phrases of an image in one pass, where they influence each other.'
    ),
    recommended=dict(why='No phrase sees another, so that a result depends on its image and phrase alone.'),
)
