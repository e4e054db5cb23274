# data/scannet/ as for scannet-20; the converter adds scannet_panoptic/*.png and scannet_panoptic.json.
_base_ = './_base_/testing.py'
data_root = 'data/scannet/'

test_dataloader = dict(
    dataset=dict(
        type='CocoPanopticSegDataset',
        data_root=data_root,
        ann_file='scannet_panoptic.json',
        data_prefix=dict(img='scannet_frames_25k/', seg='scannet_panoptic/', sem='labels_20/'),
        sem_map_values=dict(ignore_label=0, label_offset=1),
        classes='scannet_20',
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=512, rule='torchvision'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic', 'panoptic')),
        ],
    )
)
test_evaluator = [dict(type='PanopticQuality'), dict(type='SemanticIoU')]
benchmark = dict(
    title='ScanNet-20 panoptic',
    split='validation (frames of every hundredth)',
    num_samples=5436,
    headline=('panoptic/PQ', 'semantic/mIoU'),
    reference='X-Decoder, table 2',
    layout='scannet_frames_25k/SCENE/color/*.jpg, scannet_panoptic/*.png, scannet_panoptic.json, labels_20/',
    notes=(
        'Wall and floor are stuff, one segment of an image each; the other 18 classes are things.',
        'Semantic ground truth is that of scannet-20, so one pass gives both published values.',
    ),
)
protocols = dict(
    official=dict(
        model=dict(tasks=dict(segmentation=dict(object_mask_threshold=0.4))),
        why='The threshold behind the published numbers (0.8 in later configurations, X-Decoder issue 54).',
    ),
    recommended=dict(
        model=dict(tasks=dict(segmentation=dict(object_mask_threshold=0.4))),
        why='Classes that were not trained on get lower scores, so the lower threshold serves here as well.',
    ),
)
