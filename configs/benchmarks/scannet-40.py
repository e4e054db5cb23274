# data/scannet/ as for scannet-20; the converter adds labels_40/SCENE/color/*.png and val_40.txt.
_base_ = './_base_/semantic_512.py'
data_root = 'data/scannet/'

test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='val_40.txt', classes='scannet_40', ignore_label=0, label_offset=1)
)
benchmark = dict(
    title='ScanNet-40',
    split='validation (frames of every hundredth)',
    num_samples=5436,
    headline=('semantic/mIoU',),
    reference='X-Decoder, table 2',
    layout='scannet_frames_25k/SCENE/color/*.jpg, labels_40/SCENE/color/*.png, val_40.txt',
    notes=(
        'The 40 classes of NYU Depth v2: values are 1 + class, 0 is void and does not count.',
        'refridgerator is misspelt, otherstructure, otherfurniture and otherprop are given as they stand.',
        'Releases of the official code before v2.0 have no background column: they used otherprop in its place.',
    ),
)
protocols = dict(
    official=dict(
        why='Shortest edge 512, bicubic, longest edge not limited; the published numbers use half precision.'
    ),
    recommended=dict(why='The same in single precision: the frames have one size, so that there is nothing to choose.'),
)
