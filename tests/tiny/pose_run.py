# The tiny run with keypoints; data_root has what tests/tiny/poses.py writes.
_base_ = './tiny_run.py'

data_root = 'data/'
keypoint_file = 'keypoints.json'
names = ['left_eye', 'right_eye', 'nose', 'tail']
model = dict(
    tasks=dict(
        pose=dict(
            type='PoseTask',
            keypoints=names,
            skeleton=[('left_eye', 'nose'), ('right_eye', 'nose'), ('nose', 'tail')],
            embed_dims=32,
            head=dict(backbone_channels=(8, 16), channels=16, grid_size=8),
            matcher=dict(num_points=64),
            min_score=0.0,
            loss=dict(type='KeypointLoss'),
        ),
    ),
)
pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='LoadKeypoints', ann_file=keypoint_file, keypoints=names),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(64, 64), scale_range=(0.9, 1.2)),
    dict(type='PackXDetInputs', tasks=('pose',)),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=64),
    dict(type='LoadSegments'),
    dict(type='LoadKeypoints', ann_file=keypoint_file, keypoints=names),
    dict(type='PackXDetInputs', test_mode=True, tasks=('instance', 'pose')),
]
dataset = dict(
    _delete_=True,
    type='CocoPanopticSegDataset',
    data_root=data_root,
    ann_file='panoptic.json',
    data_prefix=dict(img='images/', seg='panoptic/'),
)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=pipeline, **dataset)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, test_mode=True, **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='PoseAccuracy', ann_file=keypoint_file, sigmas=0.1, score_thr=0.0, min_iou=0.0)
test_evaluator = val_evaluator
trainable = ['tasks.pose']
