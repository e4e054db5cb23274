# COCO segments, captions and referring expressions of the same images, in every sample. Plain files: panoptic, captions
# and RefCOCOg (made by tools/dataset_converters/refer_to_json.py), without the images that RefCOCOg tests with.
# The official filtered files instead: coco_pairs.py and docs/datasets.md.
_base_ = './coco_panoptic.py'

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='ChooseCaption'),
    dict(type='ChoosePhrases', max_phrases=4),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(1024, 1024), scale_range=(0.1, 2.0)),
    dict(type='PackXDetInputs'),
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='CocoJointDataset',
            captions_file='annotations/captions_train2017.json',
            grounding_file='annotations/refcocog_umd.json',
            splits=['train'],
            exclude=['annotations/refcocog_umd_val.json', 'annotations/refcocog_umd_test.json'],
            pipeline=train_pipeline,
        )
    )
)
