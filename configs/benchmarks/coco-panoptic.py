# Panoptic segmentation of your own images in COCO's layout.
_base_ = './_base_/own_data.py'
test_dataloader = dict(
    dataset=dict(
        type='CocoPanopticSegDataset',
        ann_file='annotations/panoptic_{split}.json',
        data_prefix=dict(img='{split}/', seg='panoptic_{split}/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='panoptic'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic', 'panoptic')),
        ],
    )
)
test_evaluator = [
    dict(type='PanopticQuality'),
    dict(type='SemanticIoU'),
]
benchmark = dict(
    title='own panoptic data',
    split='val',
    headline=('panoptic/PQ', 'panoptic/PQ_th', 'panoptic/PQ_st', 'semantic/mIoU'),
    layout='annotations/panoptic_{split}.json, {split}/*.jpg, panoptic_{split}/*.png',
)
