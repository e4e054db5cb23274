_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(
        ann_file='HouseHold-Items/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='HouseHold-Items/valid/')
    )
)
test_evaluator = dict(ann_file='data/seginw/HouseHold-Items/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW HouseHold-Items')
