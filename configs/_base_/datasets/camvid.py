# CamVid with 11 classes at 480x360: images/{train,val}/*.jpg, labels/{train,val}/*.png (class index, 255 = unlabelled).
_base_ = ['./folder_semantic.py']
data_root = 'data/camvid/'

train_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='LoadSegments'),
    dict(type='RandomResize', scale=(480, 360), ratio_range=(0.5, 1.25), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(192, 256), cat_max_ratio=0.75, ignore_index=0),
    dict(type='RandomFlipWithTexts', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='PackXDetInputs'),
]
test_pipeline = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=360, max_size=480),
    dict(type='LoadSegments'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
]

train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root, classes='camvid', pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(data_root=data_root, classes='camvid', pipeline=test_pipeline))
test_dataloader = val_dataloader
