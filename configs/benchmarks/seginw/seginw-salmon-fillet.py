_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(
        ann_file='Salmon-Fillet/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Salmon-Fillet/valid/')
    )
)
test_evaluator = dict(ann_file='data/seginw/Salmon-Fillet/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Salmon-Fillet')
