# Photographs, the generated world and three more sources: stuff and things of COCO's panoptic images, the streets of
# CamVid, and objects of which only boxes are known, from other images of COCO. What you do not have is left out by
#   python tools/train.py xdecoder_lite0-nano_joint-photos-more --cfg-options train_dataloader.boxes=None
# or the same in a config on this one. Where things lie is said by environment variables (docs/photos.md).
_base_ = './xdecoder_lite0-nano_joint-photos.py'
coco_root = '{{$COCO_ROOT:data/coco/}}'
camvid_root = '{{$CAMVID_ROOT:data/camvid/}}'

model = dict(tasks=dict(segmentation=dict(loss=dict(box_loss=dict(type='BoxMaskLoss')))))

jitter = dict(
    type='LargeScaleJitter',
    size=({{_base_.size}}, {{_base_.size}}),
    scale_range=(0.9, 1.8),
    shared_offset=False,
)
stuff_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomFlipWithTexts', prob=0.5),
    jitter,
    # No questions: the classifier does not have the answers.
    dict(type='DescribeSegments', texts=('phrases',), num_phrases=4),
    dict(type='PackXDetInputs'),
]
segments_only_pipeline = [*stuff_pipeline[:4], dict(type='PackXDetInputs')]
boxes_pipeline = [*stuff_pipeline[:4], dict(type='PackXDetInputs', box_affinity=True)]

train_dataloader = dict(
    stuff=dict(
        batch_size=2,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='CocoPanopticSegDataset',
                data_root=coco_root,
                ann_file='annotations/panoptic_train2017.json',
                data_prefix=dict(img='train2017/', seg='panoptic_train2017/'),
                pipeline=stuff_pipeline,
            ),
        ),
        **{{_base_.sampling}},
    ),
    streets=dict(
        batch_size=1,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='ImageLabelFolderDataset',
                data_root=camvid_root,
                classes='camvid',
                data_prefix=dict(img='images/train/', seg='labels/train/'),
                pipeline=segments_only_pipeline,
            ),
        ),
        **{{_base_.sampling}},
    ),
    boxes=dict(
        batch_size=2,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='CocoInstanceSegDataset',
                boxes_only=True,
                data_root=coco_root,
                ann_file='annotations/instances_train2017.json',
                exclude='annotations/panoptic_train2017.json',  # their masks are known
                data_prefix=dict(img='train2017/'),
                filter_cfg=dict(filter_empty_gt=True),
                pipeline=boxes_pipeline,
            ),
        ),
        **{{_base_.sampling}},
    ),
)
train_cfg = dict(weights=dict(streets=0.5, boxes=0.5))

# For tools/analysis_tools/photo_report.py --sets coco camvid
resize = dict(type='ResizeShortestEdge', scale={{_base_.size}}, max_size=512)
test_sets = dict(
    coco=dict(
        dataset=dict(
            type='CocoPanopticSegDataset',
            data_root=coco_root,
            ann_file='annotations/panoptic_val2017.json',
            data_prefix=dict(img='val2017/', seg='panoptic_val2017/'),
            pipeline=[
                dict(type='LoadXDetImage'),
                resize,
                dict(type='LoadSegments'),
                dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic', 'semantic')),
            ],
        ),
        metrics=[dict(type='PanopticQuality'), dict(type='SemanticIoU')],
    ),
    camvid=dict(
        dataset=dict(
            type='ImageLabelFolderDataset',
            data_root=camvid_root,
            classes='camvid',
            data_prefix=dict(img='images/val/', seg='labels/val/'),
            pipeline=[
                dict(type='LoadXDetImage'),
                resize,
                dict(type='LoadSegments'),
                dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
            ],
        ),
        metrics=[dict(type='SemanticIoU')],
    ),
)
