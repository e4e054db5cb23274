# RefCOCO, UNC split, testA: 750 images, 1,975 objects, 5,657 sentences; people only.
_base_ = '../_base_/referring_512.py'

test_dataloader = dict(dataset=dict(ann_file='annotations/refcoco_unc.json', splits=['testA']))
benchmark = dict(
    title='RefCOCO, UNC split',
    split='testA',
    num_samples=750,
    layout='annotations/refcoco_unc.json, train2017/*.jpg',
)
