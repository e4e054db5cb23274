# data/cityscapes/{leftImg8bit,gtFine}/val/CITY/*.png, as published
#   python tools/dataset_converters/cityscapes.py data/cityscapes
_base_ = './_base_/testing.py'
data_root = 'data/cityscapes/'
test_dataloader = dict(
    dataset=dict(
        type='CityscapesPanopticDataset',
        data_root=data_root,
        ann_file='gtFine/cityscapes_panoptic_val.json',
        data_prefix=dict(img='leftImg8bit/val/', seg='gtFine/cityscapes_panoptic_val/'),
        classes='cityscapes_19',
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=1024, max_size=2048),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic', 'panoptic', 'instance')),
        ],
    )
)
ann_file = data_root + 'gtFine/cityscapes_instance_val.json'
test_evaluator = [
    dict(type='PanopticQuality'),
    dict(type='InstanceAP', ann_file=ann_file, metric='segm'),
    dict(type='SemanticIoU'),
]
benchmark = dict(
    title='Cityscapes',
    split='validation',
    num_samples=500,
    headline=('panoptic/PQ', 'instance/AP', 'semantic/mIoU'),
    layout='leftImg8bit/val/CITY/*.png, gtFine/val/CITY/*.png and what the converter adds',
    reference='X-Decoder, table 2',
    notes=(
        "AP is COCO's; the published one is that of cityscapesScripts, which ignores objects of less than 100 pixels.",
        'Released branches disagree about a background column in the semantic choice; here it is never chosen.',
    ),
)
threshold = 'model.tasks.segmentation.object_mask_threshold'
protocols = dict(
    official={threshold: 0.4, 'why': 'The threshold behind the published panoptic numbers.'},
    recommended={threshold: 0.4, 'why': 'The same: classes that were not trained get low probabilities.'},
)
