_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(ann_file='Poles/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Poles/valid/'))
)
test_evaluator = dict(ann_file='data/seginw/Poles/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Poles')
