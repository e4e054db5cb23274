# Segments and keypoints of animals: data/photos/voc_animals/ also holds keypoints_{train,val}.json, in COCO's layout
# (docs/photos.md, Pose).
_base_ = './photos_joint.py'

data_root = 'data/photos/'
val_keypoints = data_root + 'voc_animals/keypoints_val.json'

# Of one layout for the five animals, in the order of the files.
keypoints = [
    'left_eye', 'right_eye', 'nose', 'left_ear', 'right_ear',
    'left_front_elbow', 'right_front_elbow', 'left_back_elbow', 'right_back_elbow',
    'left_front_knee', 'right_front_knee', 'left_back_knee', 'right_back_knee',
    'left_front_paw', 'right_front_paw', 'left_back_paw', 'right_back_paw',
    'throat', 'withers', 'tailbase',
]  # fmt: skip
skeleton = [
    ('left_eye', 'right_eye'), ('left_eye', 'nose'), ('right_eye', 'nose'), ('left_eye', 'left_ear'),
    ('right_eye', 'right_ear'), ('nose', 'throat'), ('withers', 'tailbase'),
    ('left_front_elbow', 'left_front_knee'), ('right_front_elbow', 'right_front_knee'),
    ('left_back_elbow', 'left_back_knee'), ('right_back_elbow', 'right_back_knee'),
    ('left_front_knee', 'left_front_paw'), ('right_front_knee', 'right_front_paw'),
    ('left_back_knee', 'left_back_paw'), ('right_back_knee', 'right_back_paw'),
]  # fmt: skip
# Tolerances of OKS: those of COCO for eyes, nose, ears, elbows and knees; the others are ours, like those of ankles and
# hips there.
sigmas = dict(paw=0.089, throat=0.107, withers=0.107, tailbase=0.107)

pose_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='LoadKeypoints', ann_file=data_root + 'voc_animals/keypoints_train.json', keypoints=keypoints),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='LargeScaleJitter', size=(256, 256), scale_range=(0.8, 1.5), shared_offset=False),
    dict(type='PackXDetInputs', tasks=('pose',)),
]
pose_test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=256, max_size=512),
    dict(type='LoadSegments'),
    dict(type='LoadKeypoints', ann_file=val_keypoints, keypoints=keypoints),
    dict(type='PackXDetInputs', test_mode=True, tasks=('instance', 'pose')),
]

train_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler'),
    dataset=dict(
        type='SeededDataset',
        dataset=dict(
            type='CocoPanopticSegDataset',
            data_root=data_root,
            ann_file='voc_animals/panoptic_train.json',
            data_prefix=dict(img='voc_animals/images/train/', seg='voc_animals/panoptic/train/'),
            pipeline=pose_pipeline,
        ),
    ),
)
val_dataloader = dict(dataset=dict(pipeline=pose_test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='PoseAccuracy', ann_file=val_keypoints, keypoints=keypoints, pck=0.2, sigmas=sigmas)]
test_evaluator = val_evaluator
