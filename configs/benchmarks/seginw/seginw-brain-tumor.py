_base_ = '../_base_/seginw.py'
test_dataloader = dict(
    dataset=dict(
        ann_file='Brain-Tumor/valid/_annotations_min1cat.coco.json', data_prefix=dict(img='Brain-Tumor/valid/')
    )
)
test_evaluator = dict(ann_file='data/seginw/Brain-Tumor/valid/_annotations_min1cat.coco.json')
benchmark = dict(title='SegInW Brain-Tumor')
