# data/bdd100k/{images/10k/val/*.jpg, labels/pan_seg/bitmasks/val/*.png}, as published
#   python tools/dataset_converters/bdd100k.py data/bdd100k
_base_ = './_base_/testing.py'
data_root = 'data/bdd100k/'
test_dataloader = dict(
    dataset=dict(
        type='CocoPanopticSegDataset',
        data_root=data_root,
        ann_file='labels/pan_seg/panoptic_val.json',
        data_prefix=dict(img='images/10k/val/', seg='labels/pan_seg/panoptic_val/'),
        classes='bdd100k_pano_40',
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=800, rule='torchvision'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic', 'semantic')),
        ],
    )
)
test_evaluator = [dict(type='PanopticQuality'), dict(type='SemanticIoU', prefix='semantic_40')]
benchmark = dict(
    title='BDD100K panoptic',
    split='validation of the 10k images',
    num_samples=1000,
    headline=('panoptic/PQ',),
    layout='images/10k/val/*.jpg, labels/pan_seg/bitmasks/val/*.png and what the converter adds',
    reference='X-Decoder, table 2',
    notes=(
        'Crowds and ignored objects are crowds: they match nothing and are not missed.',
        'dynamic, ego vehicle, ground and static are classes like the others.',
    ),
)
threshold = 'model.tasks.segmentation.object_mask_threshold'
protocols = dict(
    official={threshold: 0.4, 'why': 'The threshold behind the published panoptic numbers.'},
    recommended={threshold: 0.4, 'why': 'The same: classes that were not trained get low probabilities.'},
)
