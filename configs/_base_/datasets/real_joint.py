# Small sets of photographs for joint training, each kind a source of its own (docs/results.md). Where they lie is said
# by environment variables: COCO_ROOT=/my/coco/ CAMVID_ROOT=/my/camvid/ python tools/train.py ...
coco_root = '{{$COCO_ROOT:data/coco/}}'
camvid_root = '{{$CAMVID_ROOT:data/camvid/}}'
clothing_root = '{{$CLOTHING_ROOT:data/clothing/}}'  # classes.json, images/train/, labels/train/
flickr_root = '{{$FLICKR_ROOT:data/flickr8k/}}'  # captions.json in COCO's form, images/
refcoco_root = '{{$REFCOCO_ROOT:data/refcoco/}}'  # refcoco_unc.json, refcocop_unc.json, refcocog_umd.json
vqa_root = '{{$VQA_ROOT:data/vqa/}}'  # questions.json, annotations.json
# PICTURES=8: only the first 8 pictures of every set, not augmented. Can the model learn them by heart?
pictures = int('{{$PICTURES:0}}') or None

size = 128
# For the answer classifier; other answers cannot be given.
answers = [
    'yes', 'no', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '12', '15', '20', '24', '30', '31', '50',
    '100', 'white', 'black', 'red', 'blue', 'green', 'brown', 'yellow', 'gray', 'orange', 'pink', 'purple',
    'white and green', 'black and white', 'left', 'right', 'up', 'down', 'wood', 'metal', 'brick', 'glass', 'snow',
    'grass', 'water', 'tree', 'man', 'woman', 'boy', 'girl', 'people', 'dog', 'cat', 'horse', 'bird', 'bears',
    'elephant', 'giraffe', 'zebra', 'pizza', 'broccoli', 'apple', 'banana', 'cake', 'sandwich', 'coffee', 'wine',
    'tennis', 'baseball', 'soccer', 'skiing', 'surfing', 'skateboarding', 'playing wii', 'racket', 'frisbee', 'ball',
    'bat', 'kite', 'umbrella', 'hat', 'watch', 'wristwatch', 'glasses', 'table', 'chair', 'bed', 'couch', 'kitchen',
    'bathroom', 'living room', 'picture', 'street', 'parking lot', 'parking meter', 'stop sign', 'car', 'bus',
    'truck', 'train', 'boat', 'sailboat', 'airplane', 'bicycle', 'motorcycle', 'beach', 'park', 'empty', 'sunny',
    'cloudy', 'day', 'night', 'summer', 'winter', 'birthday', 'christmas', 'coins', 'nothing', 'unknown',
]  # fmt: skip

fixed = dict(type='mmdet.Resize', scale=(size, size), keep_ratio=False, backend='pillow', interpolation='bilinear')
flip_prob = 0.0 if pictures else 0.5
jitter = fixed if pictures else dict(type='LargeScaleJitter', size=(size, size), scale_range=(0.8, 1.6))
resize = fixed if pictures else dict(type='ResizeShortestEdge', scale=size, max_size=2 * size)
panoptic_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='ChoosePhrases', max_phrases=4),  # names of classes: these pictures have no expressions
    dict(type='RandomFlipWithTexts', prob=flip_prob),
    jitter,
    dict(type='PackXDetInputs'),
]
semantic_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomFlipWithTexts', prob=flip_prob),
    jitter,
    dict(type='PackXDetInputs'),
]
pairs_pipeline = [
    dict(type='LoadXDetImage'),
    fixed,
    dict(type='ChooseCaption', with_nouns=False),
    dict(type='PackXDetInputs', segments=False),
]
referring_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ChoosePhrases', max_phrases=4),
    dict(type='RandomFlipWithTexts', prob=flip_prob),
    jitter,
    dict(type='PackXDetInputs', segments=False),
]
questions_pipeline = [
    dict(type='LoadXDetImage'),
    fixed,
    dict(type='ChooseQuestions', max_questions=3),
    dict(type='PackXDetInputs', segments=False),
]
panoptic_test_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic', 'semantic')),
]
semantic_test_pipeline = [
    *panoptic_test_pipeline[:-1],
    dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
]
pairs_test_pipeline = [
    dict(type='LoadXDetImage'),
    fixed,
    dict(type='PackXDetInputs', test_mode=True, tasks=('caption', 'retrieval')),
]
referring_test_pipeline = [
    dict(type='LoadXDetImage'),
    resize,
    dict(type='ChoosePhrases', test_mode=True, sentences='all'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('refseg',)),
]
questions_test_pipeline = [
    dict(type='LoadXDetImage'),
    fixed,
    dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',)),
]

panoptic = dict(
    type='CocoPanopticSegDataset',
    data_root=coco_root,
    ann_file='annotations/panoptic_train2017.json',
    data_prefix=dict(img='train2017/', seg='panoptic_train2017/'),
    indices=pictures,
)
semantic = dict(
    type='ImageLabelFolderDataset',
    classes='classes.json',
    data_prefix=dict(img='images/train/', seg='labels/train/'),
    indices=pictures,
)
flickr = dict(type='ImageTextDataset', data_root=flickr_root, ann_file='captions.json', data_prefix=dict(img='images/'))
coco_captions = dict(
    type='ImageTextDataset',
    data_root=coco_root,
    ann_file='annotations/captions_train2017.json',
    data_prefix=dict(img='train2017/'),
    indices=pictures,
)
expressions = dict(
    type='RefCocoDataset',
    data_root=coco_root,
    data_prefix=dict(img='train2017/'),
    img_name='{id:012d}.jpg',
    indices=pictures,
)
expression_files = [refcoco_root + name for name in ('refcoco_unc.json', 'refcocop_unc.json', 'refcocog_umd.json')]
questions = dict(
    type='VQADataset',
    data_root=coco_root,
    ann_file=vqa_root + 'questions.json',
    answers_file=vqa_root + 'annotations.json',
    data_prefix=dict(img='train2017/'),
    img_name='{image_id:012d}.jpg',
    indices=pictures,
)

sampling = dict(num_workers=0, sampler=dict(type='ResumableSampler'))
train_dataloader = dict(
    panoptic=dict(
        batch_size=2,
        dataset=dict(type='SeededDataset', dataset=dict(pipeline=panoptic_pipeline, **panoptic)),
        **sampling,
    ),
    semantic=dict(
        batch_size=1,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='ConcatDataset',
                datasets=[
                    dict(data_root=camvid_root, pipeline=semantic_pipeline, **semantic),
                    dict(data_root=clothing_root, pipeline=semantic_pipeline, **semantic),
                ],
                ignore_keys=['classes', 'vocabulary'],  # every sample brings its own class list
            ),
        ),
        **sampling,
    ),
    pairs=dict(
        batch_size=6,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='ConcatDataset',
                datasets=[
                    dict(pipeline=pairs_pipeline, indices=pictures or 500, **flickr),  # the other 100 are for testing
                    dict(pipeline=pairs_pipeline, **coco_captions),
                ],
            ),
        ),
        **sampling,
    ),
    referring=dict(
        batch_size=1,
        dataset=dict(
            type='SeededDataset',
            dataset=dict(
                type='ConcatDataset',
                datasets=[dict(ann_file=file, pipeline=referring_pipeline, **expressions) for file in expression_files],
            ),
        ),
        **sampling,
    ),
    questions=dict(
        batch_size=2,
        dataset=dict(type='SeededDataset', dataset=dict(pipeline=questions_pipeline, **questions)),
        **sampling,
    ),
)

# What benchmarks/joint_real.py tests on; `train` in a name: the model has been trained on these pictures.
panoptic_metrics = [dict(type='PanopticQuality'), dict(type='SemanticIoU')]
val_files = dict(
    ann_file='annotations/panoptic_val2017.json', data_prefix=dict(img='val2017/', seg='panoptic_val2017/')
)
val_folders = dict(data_prefix=dict(img='images/val/', seg='labels/val/'))
pair_metrics = [dict(type='CaptionMatch'), dict(type='RetrievalRecall')]
test_sets = {
    'coco-train': dict(dataset=dict(pipeline=panoptic_test_pipeline, **panoptic), metrics=panoptic_metrics),
    'coco-val': dict(dataset={**panoptic, **val_files, 'pipeline': panoptic_test_pipeline}, metrics=panoptic_metrics),
    'camvid-train': dict(
        dataset=dict(data_root=camvid_root, pipeline=semantic_test_pipeline, **semantic),
        metrics=[dict(type='SemanticIoU')],
    ),
    'camvid-val': dict(
        dataset={**semantic, **val_folders, 'data_root': camvid_root, 'pipeline': semantic_test_pipeline},
        metrics=[dict(type='SemanticIoU')],
    ),
    'clothing-train': dict(
        dataset=dict(data_root=clothing_root, pipeline=semantic_test_pipeline, **semantic),
        metrics=[dict(type='SemanticIoU')],
    ),
    'clothing-val': dict(
        dataset={**semantic, **val_folders, 'data_root': clothing_root, 'pipeline': semantic_test_pipeline},
        metrics=[dict(type='SemanticIoU')],
    ),
    'flickr-train': dict(
        dataset=dict(pipeline=pairs_test_pipeline, indices=pictures or 100, **flickr), metrics=pair_metrics
    ),
    'flickr-val': dict(
        dataset=dict(pipeline=pairs_test_pipeline, indices=list(range(500, 600)), **flickr), metrics=pair_metrics
    ),
    'refcoco-train': dict(
        dataset=dict(ann_file=expression_files[0], pipeline=referring_test_pipeline, **expressions),
        metrics=[dict(type='ReferringIoU')],
    ),
    'vqa-train': dict(dataset=dict(pipeline=questions_test_pipeline, **questions), metrics=[dict(type='VQAAccuracy')]),
}

val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, **test_sets['coco-val']['dataset']),
)
test_dataloader = val_dataloader
val_evaluator = panoptic_metrics
test_evaluator = val_evaluator
