# More sources for a joint training on photographs, to be read by its config: stuff and things of COCO's panoptic files,
# the streets of CamVid, objects of which only boxes are known, from other images of COCO, and photographs of anything,
# in which what has none of the twenty names is no object. Where they lie is said by environment variables:
#   COCO_ROOT=/my/coco/ CAMVID_ROOT=/my/camvid/ python tools/train.py ...
coco_root = '{{$COCO_ROOT:data/coco/}}'
camvid_root = '{{$CAMVID_ROOT:data/camvid/}}'
more_size = 256

more_jitter = dict(type='LargeScaleJitter', size=(more_size, more_size), scale_range=(0.9, 1.8), shared_offset=False)
stuff_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomFlipWithTexts', prob=0.5),
    more_jitter,
    # No questions: the classifier does not have the answers.
    dict(type='DescribeSegments', texts=('phrases',), num_phrases=4),
    dict(type='PackXDetInputs'),
]
segments_only_pipeline = [*stuff_pipeline[:4], dict(type='PackXDetInputs')]
# VOC's names, as COCO says them.
voc_names = [
    'airplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'dining table', 'dog',
    'horse', 'motorcycle', 'person', 'potted plant', 'sheep', 'couch', 'train', 'tv',
]  # fmt: skip
boxes_pipeline = [*stuff_pipeline[:4], dict(type='PackXDetInputs', box_affinity=True)]

more_sampling = dict(num_workers=2, persistent_workers=True, sampler=dict(type='ResumableSampler'))
more_sources = dict(
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
        **more_sampling,
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
        **more_sampling,
    ),
    anything=dict(
        batch_size=2,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='CocoInstanceSegDataset',
                metainfo=dict(classes=voc_names),
                data_root=coco_root,
                ann_file='annotations/instances_train2017.json',
                data_prefix=dict(img='train2017/'),
                filter_cfg=dict(filter_empty_gt=False),
                pipeline=segments_only_pipeline,
            ),
        ),
        **more_sampling,
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
        **more_sampling,
    ),
)
# For tools/analysis_tools/photo_report.py --sets coco camvid
more_resize = dict(type='ResizeShortestEdge', scale=more_size, max_size=512)
test_sets = dict(
    coco=dict(
        dataset=dict(
            type='CocoPanopticSegDataset',
            data_root=coco_root,
            ann_file='annotations/panoptic_val2017.json',
            data_prefix=dict(img='val2017/', seg='panoptic_val2017/'),
            pipeline=[
                dict(type='LoadXDetImage'),
                more_resize,
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
                more_resize,
                dict(type='LoadSegments'),
                dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
            ],
        ),
        metrics=[dict(type='SemanticIoU')],
    ),
)
