_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(
        ann_file='Ginger-Garlic/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Ginger-Garlic/valid/')
    )
)
test_evaluator = dict(ann_file='data/seginw/Ginger-Garlic/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Ginger-Garlic')
