_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(ann_file='Garbage/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Garbage/valid/'))
)
test_evaluator = dict(ann_file='data/seginw/Garbage/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Garbage')
