_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(
        ann_file='Airplane-Parts/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Airplane-Parts/valid/')
    )
)
test_evaluator = dict(ann_file='data/seginw/Airplane-Parts/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Airplane-Parts')
