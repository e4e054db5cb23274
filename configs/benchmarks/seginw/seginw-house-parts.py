_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(
        ann_file='House-Parts/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='House-Parts/valid/')
    )
)
test_evaluator = dict(ann_file='data/seginw/House-Parts/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW House-Parts')
