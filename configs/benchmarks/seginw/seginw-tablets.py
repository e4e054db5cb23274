_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(ann_file='Tablets/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Tablets/valid/'))
)
test_evaluator = dict(ann_file='data/seginw/Tablets/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Tablets')
