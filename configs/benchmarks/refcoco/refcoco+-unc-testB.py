# RefCOCO+, UNC split, testB: 750 images, 1,798 objects, 4,889 sentences; everything but people.
_base_ = '../_base_/referring_512.py'

test_dataloader = dict(dataset=dict(ann_file='annotations/refcoco+_unc.json', splits=['testB']))
benchmark = dict(
    title='RefCOCO+, UNC split',
    split='testB',
    num_samples=750,
    layout='annotations/refcoco+_unc.json, train2017/*.jpg',
)
