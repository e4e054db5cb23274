# data/scannet/scannet_frames_25k/SCENE/{color,label,instance}/*   scannetv2_val.txt, as published
#   python tools/dataset_converters/scannet.py data/scannet
# adds labels_20/SCENE/color/*.png and val_20.txt.
_base_ = './_base_/semantic_512.py'
data_root = 'data/scannet/'

test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='val_20.txt', classes='scannet_20', ignore_label=0, label_offset=1)
)
benchmark = dict(
    title='ScanNet-20',
    split='validation (frames of every hundredth)',
    num_samples=5436,
    headline=('semantic/mIoU',),
    reference='X-Decoder, table 2',
    layout='scannet_frames_25k/SCENE/color/*.jpg, labels_20/SCENE/color/*.png, val_20.txt',
    notes=(
        'Values are 1 + class, 0 is void and does not count.',
        'Releases of the official code before v2.0 have no background column: they used otherfurniture in its place.',
    ),
)
protocols = dict(
    official=dict(
        why='Shortest edge 512, bicubic, longest edge not limited; the published numbers use half precision.'
    ),
    recommended=dict(why='The same in single precision: the frames have one size, so that there is nothing to choose.'),
)
variants = dict(_delete_=True)
