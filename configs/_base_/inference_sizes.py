# Sizes in which the official model sees images, for the inferencer. Segmentation: the rule of the COCO evaluation.
inference_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=800, max_size=1333),
    dict(type='PackXDetInputs', test_mode=True),
]

# Regions are described in the size of captions. For finer masks of phrases: set_image(image, task='refseg').
caption_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=224, rule='torchvision'),
    dict(type='PackXDetInputs', test_mode=True),
]
# Image-text training saw squares, so whole images are compared with texts, and with class names, as squares.
square_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='mmdet.Resize', scale=(224, 224), keep_ratio=False, backend='pillow', interpolation='bilinear'),
    dict(type='PackXDetInputs', test_mode=True),
]
task_pipelines = dict(
    refseg=[
        dict(type='LoadXDetImage'),
        dict(type='ResizeShortestEdge', scale=512, rule='torchvision'),
        dict(type='PackXDetInputs', test_mode=True),
    ],
    caption=caption_pipeline,
    refcaption=caption_pipeline,
    retrieval=square_pipeline,
    classification=square_pipeline,
    vqa=[
        dict(type='LoadXDetImage'),
        dict(type='mmdet.Resize', scale=(640, 640), keep_ratio=False, backend='pillow', interpolation='bicubic'),
        dict(type='PackXDetInputs', test_mode=True),
    ],
)
