_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(
        ann_file='Nutterfly-Squireel/valid/_annotations_min1cat.coco.json',
        data_prefix=dict(img='Nutterfly-Squireel/valid/'),
    )
)
test_evaluator = dict(ann_file='data/seginw/Nutterfly-Squireel/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Nutterfly-Squireel')
