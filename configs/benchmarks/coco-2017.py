# data/coco/{val2017, panoptic_val2017, annotations/{panoptic,instances}_val2017.json}, as published.
_base_ = './_base_/testing.py'
data_root = 'data/coco/'
test_dataloader = dict(
    dataset=dict(
        type='CocoPanopticSegDataset',
        data_root=data_root,
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017/', seg='panoptic_val2017/'),
        classes='coco_panoptic',
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=800, max_size=1333),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic', 'panoptic', 'instance')),
        ],
    )
)
test_evaluator = [
    dict(type='PanopticQuality'),
    dict(type='InstanceAP', ann_file=data_root + 'annotations/instances_val2017.json'),
    dict(type='SemanticIoU'),
]
benchmark = dict(
    title='COCO 2017',
    split='validation',
    num_samples=5000,
    headline=('panoptic/PQ', 'instance/AP', 'semantic/mIoU'),
    layout='annotations/{panoptic,instances}_val2017.json, panoptic_val2017/*.png, val2017/*.jpg',
    reference='X-Decoder, table 1',
    notes=('Semantic ground truth is what the panoptic segments add up to, as in panoptic_semseg_val2017.',),
)
protocols = dict(
    official={'model.tasks.segmentation.object_mask_threshold': 0.8, 'why': 'As published, apart from half precision.'},
    recommended=dict(why="The panoptic threshold is that of the model's config, 0.8 in the shipped ones."),
)
