# RefCOCOg, UMD split, test: 2,600 images, 5,023 objects, 9,602 sentences.
_base_ = '../_base_/referring_512.py'

test_dataloader = dict(dataset=dict(ann_file='annotations/refcocog_umd.json', splits=['test']))
benchmark = dict(
    title='RefCOCOg, UMD split',
    split='test',
    num_samples=2600,
    layout='annotations/refcocog_umd.json, train2017/*.jpg',
)
