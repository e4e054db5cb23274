# RefCOCO+, UNC split, val: 1,500 images, 3,805 objects, 10,758 sentences.
_base_ = '../_base_/referring_512.py'

test_dataloader = dict(dataset=dict(ann_file='annotations/refcoco+_unc.json', splits=['val']))
benchmark = dict(
    title='RefCOCO+, UNC split',
    split='val',
    num_samples=1500,
    layout='annotations/refcoco+_unc.json, train2017/*.jpg',
)
