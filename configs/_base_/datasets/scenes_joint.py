# The generated world (docs/scenes.md) for all tasks at once: every scene brings segments, a caption, referring
# expressions, questions and descriptions of objects. Drawn and described on the fly, about 5 ms of one core per
# scene. There are no flips because texts say left and right.
size = 128
# xdet.scenes.questions.ANSWERS, for the answer classifier.
answers = [
    'yes', 'no', '0', '1', '2', '3', '4', '5', '6',
    'red', 'orange', 'yellow', 'green', 'blue', 'purple', 'white',
    'circle', 'square', 'triangle', 'star', 'heart', 'ring', 'cross',
    'plain', 'striped', 'dotted', 'shaded',
    'sky', 'grass', 'sand', 'water', 'brick wall', 'wooden floor',
    'left', 'right', 'above', 'below', 'larger', 'smaller',
]  # fmt: skip

# Class names say nothing about patterns, so some scenes are segmented by pattern (or shape, or colour) instead.
train_pipeline = [
    dict(type='RenderScene', size=size),
    dict(type='NameThingsByAttribute', shares=dict(material=0.25, shape=0.1, colour=0.1)),
    dict(
        type='DescribeScene',
        texts=('caption', 'phrases', 'questions', 'regions'),
        num_phrases=4,
        num_questions=12,
        # Patterns, places and sizes are the hardest to learn.
        question_shares=dict(count=2, colour=1, shape=1, pattern=3, existence=1, relation=3, size=2, background=1),
        num_regions=2,
        caption_styles=dict(canonical=0.8, complete=0.1, partial=0.1),
    ),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='RenderScene', size=size),
    dict(type='DescribeScene', test_mode=True, num_captions=1),
    dict(
        type='PackXDetInputs',
        test_mode=True,
        tasks=('panoptic', 'refseg', 'caption', 'refcaption', 'retrieval', 'vqa'),
    ),
]
# What the inferencer does with an image from a file.
inference_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=size, max_size=4 * size),
    dict(type='PackXDetInputs', test_mode=True),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(type='ScenesDataset', split='train', num_scenes=100000, pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ScenesDataset', split='val', num_scenes=200, pipeline=test_pipeline, test_mode=True),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ScenesDataset', split='test', num_scenes=500, pipeline=test_pipeline, test_mode=True),
)

val_evaluator = [
    dict(type='PanopticQuality'),
    dict(type='ReferringIoU'),
    dict(type='CaptionMatch'),
    dict(type='RegionCaptionMatch'),
    dict(type='RetrievalRecall', group_size=100),
    dict(type='VQAAccuracy'),
]
test_evaluator = val_evaluator
