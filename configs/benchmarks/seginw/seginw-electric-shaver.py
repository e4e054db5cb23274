_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(
        ann_file='Electric-Shaver/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Electric-Shaver/valid/')
    )
)
test_evaluator = dict(ann_file='data/seginw/Electric-Shaver/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Electric-Shaver')
