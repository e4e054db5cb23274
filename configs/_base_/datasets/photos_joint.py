# Photographs with segments, photographs with captions, and the generated world, each kind a source of its own. Texts
# about segments are made from the labels. data/photos/ holds (docs/photos.md):
#   voc_animals/    panoptic_{train,val}.json, panoptic/{train,val}/, images/{train,val}/: COCO's panoptic layout, the
#                   20 classes of PASCAL VOC, the rest of the image void
#   coco_captions/  captions_train.json, images/train/: COCO's layout of captions
data_root = '{{$PHOTOS_ROOT:data/photos/}}'

size = 256  # in training
test_size = 352  # small things are found better
scene_size = 128  # what scenes are drawn at before they are enlarged
# For the answer classifier; other answers cannot be given. Those of the generated world come first.
answers = [
    'yes', 'no', '0', '1', '2', '3', '4', '5', '6',
    'red', 'orange', 'yellow', 'green', 'blue', 'purple', 'white',
    'circle', 'square', 'triangle', 'star', 'heart', 'ring', 'cross',
    'plain', 'striped', 'dotted', 'shaded',
    'sky', 'grass', 'sand', 'water', 'brick wall', 'wooden floor',
    'left', 'right', 'above', 'below', 'larger', 'smaller',
    'airplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'dining table', 'dog',
    'horse', 'motorcycle', 'person', 'potted plant', 'sheep', 'sofa', 'train', 'tv',
]  # fmt: skip

fixed = dict(type='mmdet.Resize', scale=(size, size), keep_ratio=False, backend='pillow', interpolation='bilinear')
segments_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(size, size), scale_range=(0.9, 1.8), shared_offset=False),
    dict(type='mmseg.PhotoMetricDistortion', brightness_delta=24, contrast_range=(0.7, 1.3), hue_delta=10),
    # After all that moves pixels, so that left and right are those of the image as it then is.
    dict(type='DescribeSegments', num_phrases=4, num_questions=4),
    dict(type='PackXDetInputs'),
]
pairs_pipeline = [
    dict(type='LoadXDetImage'),
    fixed,
    dict(type='ChooseCaption', with_nouns=False),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='PackXDetInputs', segments=False),
]
scenes_pipeline = [
    dict(type='RenderScene', size=scene_size),
    dict(type='NameThingsByAttribute', shares=dict(material=0.25, shape=0.1, colour=0.1)),
    dict(
        type='DescribeScene',
        texts=('caption', 'phrases', 'questions', 'regions'),
        num_phrases=4,
        num_questions=8,
        question_shares=dict(count=2, colour=1, shape=1, pattern=3, existence=1, relation=3, size=2, background=1),
        num_regions=2,
        caption_styles=dict(canonical=0.8, complete=0.1, partial=0.1),
    ),
    fixed,
    dict(type='PackXDetInputs'),
]
resize = dict(type='ResizeShortestEdge', scale=test_size, max_size=2 * test_size)
segments_test_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='LoadSegments'),
    dict(type='DescribeSegments', test_mode=True),
    dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic', 'semantic', 'refseg', 'caption', 'vqa')),
]
pairs_test_pipeline = [
    dict(type='LoadXDetImage'),
    fixed,
    dict(type='PackXDetInputs', test_mode=True, tasks=('caption', 'retrieval')),
]
scenes_test_pipeline = [
    dict(type='RenderScene', size=scene_size),
    dict(type='DescribeScene', test_mode=True, num_captions=1),
    # The image alone: measured is at the size that scenes are drawn at.
    dict(type='KeyMapper', mapping=dict(gt_seg_map=...), auto_remap=False, transforms=[fixed]),
    dict(
        type='PackXDetInputs',
        test_mode=True,
        tasks=('panoptic', 'refseg', 'caption', 'refcaption', 'retrieval', 'vqa'),
    ),
]
# What the inferencer does with an image from a file.
inference_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='PackXDetInputs', test_mode=True),
]

sampling = dict(num_workers=2, persistent_workers=True, sampler=dict(type='ResumableSampler'))
train_dataloader = dict(
    segments=dict(
        batch_size=8,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='CocoPanopticSegDataset',
                data_root=data_root,
                ann_file='voc_animals/panoptic_train.json',
                data_prefix=dict(img='voc_animals/images/train/', seg='voc_animals/panoptic/train/'),
                pipeline=segments_pipeline,
            ),
        ),
        **sampling,
    ),
    pairs=dict(
        batch_size=4,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='ImageTextDataset',
                data_root=data_root,
                ann_file='coco_captions/captions_train.json',
                data_prefix=dict(img='coco_captions/images/train/'),
                pipeline=pairs_pipeline,
            ),
        ),
        **sampling,
    ),
    scenes=dict(
        batch_size=4,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(type='ScenesDataset', split='train', num_scenes=100000, pipeline=scenes_pipeline),
        ),
        **sampling,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoPanopticSegDataset',
        data_root=data_root,
        ann_file='voc_animals/panoptic_val.json',
        data_prefix=dict(img='voc_animals/images/val/', seg='voc_animals/panoptic/val/'),
        pipeline=segments_test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='PanopticQuality'),
    dict(type='SemanticIoU'),
    dict(type='ReferringIoU'),
    dict(type='VQAAccuracy'),
]
test_evaluator = val_evaluator
