_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(ann_file='Chicken/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Chicken/valid/'))
)
test_evaluator = dict(ann_file='data/seginw/Chicken/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Chicken')
