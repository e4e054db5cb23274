# RefCOCOg, UMD split, val: 1,300 images, 2,573 objects, 4,896 sentences.
_base_ = '../_base_/referring_512.py'

test_dataloader = dict(dataset=dict(ann_file='annotations/refcocog_umd.json', splits=['val']))
benchmark = dict(
    title='RefCOCOg, UMD split',
    split='val',
    num_samples=1300,
    layout='annotations/refcocog_umd.json, train2017/*.jpg',
)
