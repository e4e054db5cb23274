_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(ann_file='Puppies/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Puppies/valid/'))
)
test_evaluator = dict(ann_file='data/seginw/Puppies/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Puppies')
